package caddyauth_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// An app behind a gate that another site of the same Caddy opens to strangers is a warning with the place.
func TestASiteWithoutAGateToAGuardedAppIsAWarning(t *testing.T) {
	s := startAdmin(t, "gatehouse")
	const gated = "https://app.test {\n\tgatehouse\n\treverse_proxy localhost:9000\n}\n"
	for sites, want := range map[string]string{
		gated + "http://app.test {\n\treverse_proxy localhost:9000\n}\n":                                                                                   "app.test > * > reverse_proxy localhost:9000",
		gated + "old.test {\n\thandle /api/* {\n\t\treverse_proxy localhost:9001 localhost:9000\n\t}\n}\n":                                                 "old.test > /api/* > reverse_proxy localhost:9001 localhost:9000",
		gated + "http://:8080 {\n\treverse_proxy localhost:9000\n}\n":                                                                                      ":8080 > * > reverse_proxy localhost:9000",
		gated + "http://app.test {\n\tredir https://app.test{uri}\n}\n":                                                                                    "",
		gated + "public.test {\n\treverse_proxy localhost:9001\n}\n":                                                                                       "",
		gated + "other.test {\n\tgatehouse\n\treverse_proxy localhost:9000\n}\n":                                                                           "",
		gated + "http://localhost:8080 {\n\tbind 127.0.0.1 ::1\n\treverse_proxy localhost:9000\n}\n":                                                       "",
		gated + "http://app.test {\n\tbind unix//run/x.sock\n\treverse_proxy localhost:9000\n}\n":                                                          "",
		gated + "m.test {\n\ttls {\n\t\tclient_auth {\n\t\t\tmode require\n\t\t}\n\t}\n\treverse_proxy localhost:9000\n}\n":                                "",
		gated + "b.test {\n\tbasic_auth {\n\t\tbob $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG\n\t}\n\treverse_proxy localhost:9000\n}\n": "",
	} {
		text := "{\n\tadmin off\n\tskip_install_trust\n\tlocal_certs\n\tgatehouse {\n\t\t" + s.place.Caddyfile() + "\n\t\tstrict\n\t}\n}\n" + sites
		out, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
		if err != nil {
			t.Fatal(err)
		}
		var cfg caddy.Config
		if err := json.Unmarshal(out, &cfg); err != nil {
			t.Fatal(err)
		}
		err = caddy.Validate(&cfg)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want+": ") || !strings.Contains(err.Error(), "strangers reach localhost:9000")) {
			t.Errorf("%s%v", sites, err)
		}
	}
}
