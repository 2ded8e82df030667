// Browser tests of the gate, and the program that takes the pictures for the documentation. A module of its own, so
// that what they need does not weigh on users of the plugin.
module github.com/gatehouse-auth/gatehouse/e2e

go 1.26.0

require (
	github.com/chromedp/cdproto v0.159.0
	github.com/chromedp/chromedp v0.23.0
	go.yaml.in/yaml/v3 v3.0.5
)

require github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
