package policy

import (
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/assurance"
	"github.com/gatehouse-auth/gatehouse/internal/duration"
)

// Rules about how surely a session belongs to its person. They are judged after all others, so that nobody is asked to
// prove more only to be refused, and the response to one that is not met says how to meet it.
const (
	FieldMFA   Field = "mfa"   // two factors; with the value passkey, one of which phishing cannot get at
	FieldFresh Field = "fresh" // a proof within a time; with a second value mfa, of a second factor
)

const (
	valuePasskey = "passkey"
	valueMFA     = "mfa"

	minFresh = time.Minute
)

// AboutSession reports whether the rule is about how the session was proved, and not about the person.
func (r Rule) AboutSession() bool { return r.Field == FieldMFA || r.Field == FieldFresh }

// need returns what the rule asks of a session.
func (r Rule) need() (assurance.Need, error) {
	if r.Field == FieldMFA {
		switch {
		case len(r.Values) == 0:
			return assurance.Need{Level: assurance.Two}, nil
		case len(r.Values) == 1 && r.Values[0] == valuePasskey:
			return assurance.Need{Level: assurance.PhishingResistant}, nil
		}
		return assurance.Need{}, errors.New("require mfa: it takes no value, or passkey")
	}
	const form = "require fresh: it takes a duration such as 15m, and mfa where a second factor has to be that fresh"
	if len(r.Values) == 0 || len(r.Values) > 2 || len(r.Values) == 2 && r.Values[1] != valueMFA {
		return assurance.Need{}, errors.New(form)
	}
	within, err := duration.Parse(r.Values[0])
	switch {
	case err != nil:
		return assurance.Need{}, fmt.Errorf("%s; %q is none", form, r.Values[0])
	case within < minFresh:
		return assurance.Need{}, fmt.Errorf("require fresh %s: nobody could do anything within that; use %s or more",
			r.Values[0], duration.Text(minFresh))
	case len(r.Values) == 2:
		return assurance.FreshFactor(within), nil
	}
	return assurance.Fresh(within), nil
}

// NeedOf returns what the rules about a session ask for together. A rule that asks for nothing that can be asked for
// asks for the highest level.
func NeedOf(rules []Rule) assurance.Need {
	var all assurance.Need
	for _, r := range rules {
		if !r.AboutSession() {
			continue
		}
		n, err := r.need()
		if err != nil {
			n.Level = assurance.PhishingResistant
		}
		all = all.And(n)
	}
	return all
}
