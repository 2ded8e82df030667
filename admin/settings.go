package admin

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// settings is the page about the configuration in force.
type settings struct {
	*web.Deps
	Config
}

func (h settings) routes() []web.Route { return []web.Route{get("/admin/settings", h.show)} }

func (h settings) show(w http.ResponseWriter, r *http.Request, q *web.Request) error {
	set := h.Effective()
	s := &content{Lead: q.Text("settings.lead")}
	attention, err := warnings(r.Context(), h.Deps, h.Config, q, false)
	if err != nil {
		return err
	}
	for i := range attention { // this is the page that they lead to
		if l := attention[i].Link; l != nil && l.Href == q.At("/admin/settings") {
			attention[i].Link = nil
		}
	}
	s.Sections = append(warningSection(q, attention), h.health(r.Context(), q, set))
	t := &table{ID: "options", Caption: q.Text("settings.caption"), Empty: q.Text("settings.none")}
	for _, id := range []string{"settings.option", "settings.value", "settings.source"} {
		t.Columns = append(t.Columns, column{Text: q.Text(id)})
	}
	for _, o := range set.Options {
		source := cell{Text: o.Source}
		if o.Source == "default" {
			source = cell{Marks: []mark{plain(q.Text("settings.default"))}}
		}
		name := strings.TrimSpace(o.Section + " " + o.Name)
		t.Rows = append(t.Rows, row{Cells: []cell{
			{Head: true, Text: name}, {Text: o.Value, Never: q.Text("settings.unset")}, source,
		}})
	}
	s.Sections = append(s.Sections, section{Table: t})
	q.UI.Write(w, r, newPage(q, "settings", q.Text("admin.settings"), s))
	return nil
}

// health shows the versions, and whether the store is reachable.
func (h settings) health(ctx context.Context, q *web.Request, set Settings) section {
	info := h.Store.Info()
	start := h.Clock()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	state := good(q.Text("health.answers"))
	if err := h.Store.Ping(ctx); err != nil {
		state = bad(q.Text("health.silent"))
	}
	facts := []fact{
		{Name: q.Text("health.store"), Value: info.Engine, Marks: []mark{state}},
		{Name: q.Text("health.location"), Value: info.Location, Code: true},
		{Name: q.Text("health.schema"), Value: strconv.FormatInt(info.Schema, 10)},
		{Name: q.Text("health.prefix"), Value: q.Prefix, Code: true},
	}
	for _, f := range []fact{
		{Name: q.Text("health.version"), Value: set.Version},
		{Name: q.Text("health.caddy"), Value: set.Caddy},
	} {
		if f.Value != "" {
			facts = append(facts, f)
		}
	}
	if !set.Started.IsZero() {
		facts = append(facts, fact{Name: q.Text("health.started"), Time: set.Started},
			fact{Name: q.Text("health.uptime"), Value: q.Span(max(time.Second, start.Sub(set.Started)))})
	}
	return section{ID: "health", Title: q.Text("health.title"), Facts: facts}
}
