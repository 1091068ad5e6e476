module github.com/chrony-tracker/chrony-tracker/test/browser

go 1.26.0

replace github.com/chrony-tracker/chrony-tracker => ../..

require (
	github.com/chromedp/cdproto v0.159.0
	github.com/chromedp/chromedp v0.23.0
	github.com/chrony-tracker/chrony-tracker v0.0.0
	golang.org/x/sys v0.49.0
)

require github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
