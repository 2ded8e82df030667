package portal

// Address is a route as tests see it.
type Address struct {
	Pattern string
	Methods []string
	Access  string
	API     bool
}

// Addresses returns all routes, so that a test over them cannot forget a new one.
func (p *Portal) Addresses() []Address {
	names := map[access]string{person: "person", held: "held", known: "known", anybody: "anybody", separate: "separate"}
	var list []Address
	for _, rt := range p.routes() {
		a := Address{Pattern: rt.pattern, Access: names[rt.access], API: rt.api()}
		for m := range rt.methods {
			a.Methods = append(a.Methods, m)
		}
		list = append(list, a)
	}
	return list
}
