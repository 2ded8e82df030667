package harness

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/e2e/internal/gate"
)

// Programs is a gate as docs/programs.md shows it, before an app, with a token of the service account there.
type Programs struct {
	Gate  *gate.Gate
	App   *Witness
	Token string
}

// Owner is the service account of the page.
const Owner = "backup"

// StartPrograms runs the gate of the page, which also logs all that it can log.
func StartPrograms(t testing.TB, app http.Handler) *Programs {
	t.Helper()
	return startPrograms(t, app, true)
}

// StartPlainPrograms is [StartPrograms] without HTTPS.
func StartPlainPrograms(t testing.TB, app http.Handler) *Programs {
	t.Helper()
	return startPrograms(t, app, false)
}

func startPrograms(t testing.TB, app http.Handler, https bool) *Programs {
	t.Helper()
	global, site := Section(t, "Tokens", "programs.md").Gatehouse(t)
	p := &Programs{App: Watch(t, app)}
	p.Gate = Start(t, gate.Options{
		HTTPS: https, Caddy: "debug", Global: global, Site: site, App: "log\n\treverse_proxy " + p.App.URL,
	})
	p.Token = p.NewToken(t)
	return p
}

// NewToken makes a token with the line of the page, and more options.
func (p *Programs) NewToken(t testing.TB, more ...string) string {
	t.Helper()
	line := strings.TrimSpace(Section(t, "Tokens", "programs.md").Commands[0])
	args, ok := strings.CutPrefix(Client{Gate: p.Gate}.here(line), "caddy gatehouse ")
	if !ok {
		t.Fatalf("programs.md makes a token otherwise: %s", line)
	}
	out, err := p.Gate.Gatehouse(t.Context(), "", append(strings.Fields(args), more...)...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// Revoke revokes all tokens on the command line, which takes effect within a second.
func (p *Programs) Revoke(t testing.TB) {
	t.Helper()
	out, err := p.Gate.Gatehouse(t.Context(), "", "token", "list", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct{ ID string }
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) == 0 {
		t.Fatalf("%v: %s", err, out)
	}
	for _, token := range list {
		if _, err := p.Gate.Gatehouse(t.Context(), "", "token", "revoke", token.ID); err != nil {
			t.Fatal(err)
		}
	}
	client := p.Gate.Client()
	for deadline := time.Now().Add(10 * time.Second); ; {
		res, err := p.Gate.Do(client, "/", nil, "Authorization", "Bearer "+p.Token)
		if err == nil && res.Status == http.StatusUnauthorized {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a revoked token gets %d, %v", res.Status, err)
		}
		time.Sleep(10 * time.Millisecond) // waits: the pause of a poll that has a deadline
	}
}

// Use is how a client is used.
type Use struct {
	Lines    Lines
	Commands string            // default: all commands of Lines
	Env      []string          // more environment
	Path     string            // folders with its programs, before the others
	Prepare  func(home string) // fills the home before
	Requests int               // how many it may send at most when it is refused; 0: ten
	Quiet    bool              // its exit status says nothing
	NotAsked bool              // it says that it takes HTML, too, and may be a browser: nobody asks it for a password
}

// client returns a client with the files of u in its home.
func (p *Programs) client(t testing.TB, u Use, token string) (c Client, commands string) {
	t.Helper()
	c = NewClient(t, p.Gate, token)
	c.Env = u.Env
	if u.Path != "" {
		c.Path = u.Path + ":" + c.Path
	}
	if u.Prepare != nil {
		u.Prepare(c.Home)
	}
	c.Write(t, u.Lines)
	if u.Commands == "" {
		u.Commands = strings.Join(u.Lines.Commands, "")
	}
	return c, u.Commands
}

// LetIn checks that the client gets in with the token, and that neither app nor log see it. It returns what the client
// prints, and its home.
func (p *Programs) LetIn(t testing.TB, u Use) (output, home string) {
	t.Helper()
	c, commands := p.client(t, u, p.Token)
	output = c.MustRun(t, commands)
	p.Kept(t)
	return output, c.Home
}

// Kept checks that the app knows the token's owner and not the token, which no log has either.
func (p *Programs) Kept(t testing.TB) {
	t.Helper()
	p.App.KeptFrom(t, p.Gate, p.Token)
	if users := p.App.Users(); users[Owner] == 0 || len(users) != 1 {
		t.Errorf("the app has requests of %v", users)
	}
}

// Refuse revokes the token, and checks that the client fails at once with what it understands: 401 with a Basic
// challenge first, never a page. So does a password that is no token, and with a token for another path it gets 403.
func (p *Programs) Refuse(t testing.TB, uses ...Use) {
	t.Helper()
	p.Revoke(t)
	elsewhere := p.NewToken(t, "--path", "/elsewhere/*")
	for _, u := range uses {
		p.refuse(t, u, p.Token, http.StatusUnauthorized)
		p.refuse(t, u, "a-password-of-the-app", http.StatusUnauthorized)
		p.refuse(t, u, elsewhere, http.StatusForbidden)
	}
}

func (p *Programs) refuse(t testing.TB, u Use, token string, status int) {
	t.Helper()
	before := len(Accesses(t, p.Gate))
	c, commands := p.client(t, u, token)
	out, err := c.Run(t, commands)
	if err == nil && !u.Quiet {
		t.Errorf("what should get %d is good enough for\n%s\n%s", status, commands, out)
	}
	if strings.Contains(strings.ToLower(out), "<html") {
		t.Errorf("the client shows a page:\n%s", out)
	}
	if u.Requests == 0 {
		u.Requests = 10
	}
	challenge := "Basic "
	if u.NotAsked {
		challenge = "Bearer "
	}
	p.Judge(t, before, status, u.Requests, challenge)
	if t.Failed() {
		t.Logf("where it should get %d, this prints\n%s\n%s", status, commands, out)
	}
}

// Judge checks the responses after the first ones in the log of the gate: at least one has the status, all others are 401,
// their first challenge is this one, none is a page, and there are most at most.
func (p *Programs) Judge(t testing.TB, first, status, most int, challenge string) {
	t.Helper()
	var log []Access
	has := func() (found bool) {
		log = Accesses(t, p.Gate)[first:]
		for _, a := range log {
			found = found || a.Status == status
		}
		return found
	}
	for deadline := time.Now().Add(10 * time.Second); !has() && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond) // waits: the pause of a poll that has a deadline
	}
	if !has() || len(log) > most {
		t.Errorf("%d responses, of which some should be %d, and not more than %d: %v", len(log), status, most, log)
	}
	for _, a := range log {
		challenges := a.Headers["Www-Authenticate"]
		switch {
		case strings.Contains(a.Headers.Get("Content-Type"), "html"):
			t.Errorf("a program gets a page: %v", a)
		case a.Status == http.StatusUnauthorized && (len(challenges) == 0 || !strings.HasPrefix(challenges[0], challenge)):
			t.Errorf("the first challenge is not %s: %v", challenge, a)
		case a.Status != http.StatusUnauthorized && a.Status != status:
			t.Errorf("a program gets something else: %v", a)
		}
	}
}
