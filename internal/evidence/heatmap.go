package evidence

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/color"
	"image/png"
	"slices"
	"time"
)

// A shade is what a node-day was, for the heatmap. The last that applies counts.
type shade uint8

const (
	absent shade = iota
	shadeClaimed
	shadeProven
	shadeGap
	shadeOutside
	shadeContradicted
)

// palette is distinct for the color-blind and in print.
var palette = color.Palette{
	absent:            color.RGBA{0xff, 0xff, 0xff, 0xff},
	shadeClaimed:      color.RGBA{0xa6, 0xcb, 0xe3, 0xff},
	shadeProven:       color.RGBA{0x2b, 0x7b, 0xba, 0xff},
	shadeGap:          color.RGBA{0xc4, 0xc4, 0xc4, 0xff},
	shadeOutside:      color.RGBA{0xe0, 0x6c, 0x00, 0xff},
	shadeContradicted: color.RGBA{0x6a, 0x00, 0x48, 0xff},
}

func (d NodeDay) shade(coverage float64) shade {
	switch {
	case d.Contradicted >= countable:
		return shadeContradicted
	case d.Outside >= countable:
		return shadeOutside
	case d.Account.Coverage() < coverage:
		return shadeGap
	case d.Proven > d.Claimed:
		return shadeProven
	default:
		return shadeClaimed
	}
}

// A strip is a part of the heatmap: some nodes, one below the other, and all days.
type strip struct {
	Image         string // PNG in base64: one pixel for each node and day
	X, Y          int
	Width, Height int
	Labels        []label
}

type label struct {
	X, Y int
	Text string
}

// A heatmap shows every node-day of the report on one page.
type heatmap struct {
	Width, Height int
	Strips        []strip
	Days          []label
	Rows          int // nodes in a strip
}

const (
	mapWidth   = 680 // CSS pixels: the width of A4 without margins
	mapHeight  = 640
	rowMost    = 14
	labelWidth = 170
	topMargin  = 16
)

func (r *Report) heatmap() heatmap {
	spans := days(r.From, r.To)
	columns := make(map[time.Time]int)
	for i, w := range spans {
		columns[fromUnix(w.From)] = i
	}
	rows := make(map[string]int)
	for i, n := range r.Nodes {
		rows[n.Cluster+"/"+n.Node] = i
	}
	perStrip := max(1, min(len(r.Nodes), mapHeight))
	for len(r.Nodes) > 10*perStrip {
		perStrip *= 2 // more than ten strips would be too narrow
	}
	h := heatmap{Width: mapWidth, Rows: perStrip}
	row := min(rowMost, max(1, mapHeight/perStrip))
	left := 0
	if row >= 9 {
		left = labelWidth
	}
	count := (len(r.Nodes) + perStrip - 1) / perStrip
	width := (mapWidth - left) / max(1, count)
	images := make([]*image.Paletted, count)
	for i := range images {
		images[i] = image.NewPaletted(image.Rect(0, 0, len(spans), min(perStrip, len(r.Nodes)-i*perStrip)), palette)
	}
	for _, d := range r.Days {
		if i, shown := rows[d.Cluster+"/"+d.Node]; shown {
			images[i/perStrip].SetColorIndex(columns[d.Day], i%perStrip, uint8(d.shade(r.MinCoverage)))
		}
	}
	for i, picture := range images {
		s := strip{Image: encode(picture), X: left + i*width, Y: topMargin, Width: width - 4, Height: picture.Rect.Dy() * row}
		for y := range picture.Rect.Dy() {
			if left > 0 {
				s.Labels = append(s.Labels, label{0, topMargin + (y+1)*row - row/4, shorten(r.Nodes[i*perStrip+y].Node)})
			}
		}
		h.Height = max(h.Height, s.Y+s.Height)
		h.Strips = append(h.Strips, s)
		for _, day := range slices.Compact([]int{0, len(spans) - 1}) {
			h.Days = append(h.Days, label{s.X + day*(s.Width)/max(1, len(spans)), topMargin - 4, fromUnix(spans[day].From).Format("2 Jan")})
		}
	}
	return h
}

func shorten(name string) string {
	const most = 26
	if runes := []rune(name); len(runes) > most {
		return "…" + string(runes[len(runes)-most+1:]) // names of a pool differ at the end
	}
	return name
}

func encode(picture *image.Paletted) string {
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	encoder.Encode(&b, picture) // a buffer never fails
	return base64.StdEncoding.EncodeToString(b.Bytes())
}
