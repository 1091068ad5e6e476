package web

import (
	"io"
	"net/http"

	"github.com/klauspost/compress/gzhttp"
	"github.com/klauspost/compress/gzhttp/writer"
	"github.com/klauspost/compress/gzhttp/writer/gzkp"
	"github.com/klauspost/compress/gzip"
)

// compressed compresses responses with gzip for clients that accept it.
func compressed(h http.Handler) http.Handler { return compress(h) }

// compress uses the fastest level: a scrape needs least CPU with it.
var compress = func() func(http.Handler) http.HandlerFunc {
	wrap, err := gzhttp.NewWrapper(
		gzhttp.Implementation(writer.GzipWriterFactory{Levels: gzkp.Levels, New: newCompressor}),
		gzhttp.CompressionLevel(gzip.BestSpeed),
		gzhttp.EnableZstd(false), // Prometheus does not request it; its compressors need more memory
	)
	if err != nil {
		panic(err) // the options are constants
	}
	return wrap
}()

// idle keeps compressors of 0.8 MB each, enough for two scrapes at the same time. The
// sync.Pool of gzhttp can keep one for each processor. Stateless compression needs none,
// but a scrape of few sources then costs up to half more CPU and has twice the bytes.
var idle = make(chan *gzip.Writer, 2)

// A compressor returns to idle when it is closed.
type compressor struct{ *gzip.Writer }

func newCompressor(w io.Writer, level int) writer.GzipWriter {
	select {
	case c := <-idle:
		c.Reset(w)
		return compressor{c}
	default:
		c, _ := gzip.NewWriterLevel(w, level) // gzhttp has checked the level
		return compressor{c}
	}
}

func (c compressor) Close() error {
	err := c.Writer.Close()
	select {
	case idle <- c.Writer:
	default:
	}
	return err
}
