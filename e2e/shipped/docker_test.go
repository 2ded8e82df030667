package shipped

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// engine stands in for Docker's: it does what the command `docker` is asked to.
type engine struct {
	t       *testing.T
	dir     string // of volumes, logs and what is mounted
	socket  string
	hosts   map[string]string   // names of services that the test plays, and their addresses
	ready   func() error        // the health check of those
	port    string              // of the image, where it is published as 8080
	running map[string]*process // services
	log     []string            // what was started, in its order
}

// request is one call of the command.
type request struct {
	Args  []string
	Dir   string
	Stdin string
}

type result struct {
	Output string // on standard output
	Errors string
}

// newEngine starts an engine, and puts a `docker` that talks to it into a folder for PATH.
func newEngine(t *testing.T, hosts map[string]string) (e *engine, path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ghd") // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	e = &engine{t: t, dir: dir, socket: filepath.Join(dir, "s"), hosts: hosts, running: make(map[string]*process)}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "bin")
	if err := errors.Join(os.Mkdir(path, 0o700), os.Symlink(self, filepath.Join(path, "docker"))); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", e.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: e, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		for _, p := range e.running {
			p.stop()
			if log, err := os.ReadFile(p.log); t.Failed() {
				t.Logf("log of the gate: %v\n%s", err, log)
			}
		}
		_ = os.RemoveAll(dir)
	})
	return e, path
}

// callDocker hands a call of the command to the engine.
func callDocker(args []string) int {
	dir, err := os.Getwd()
	if err != nil {
		return 1
	}
	r := request{Args: args, Dir: dir}
	if slices.Contains(args, "-i") {
		stdin, err := io.ReadAll(os.Stdin)
		if err != nil {
			return 1
		}
		r.Stdin = string(stdin)
	}
	body, err := json.Marshal(r)
	if err != nil {
		return 1
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", os.Getenv("DOCKER_STAND_IN"))
	}}}
	res, err := client.Post("http://docker/", "application/json", bytes.NewReader(body))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer res.Body.Close()
	var out result
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Print(out.Output)
	fmt.Fprint(os.Stderr, out.Errors)
	if res.StatusCode != http.StatusOK {
		return 1
	}
	return 0
}

func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var call request
	var out result
	err := json.NewDecoder(r.Body).Decode(&call)
	if err == nil {
		out, err = e.do(call)
	}
	if err != nil {
		out.Errors += err.Error() + "\n"
		w.WriteHeader(http.StatusInternalServerError)
	}
	_ = json.NewEncoder(w).Encode(out)
}

// do does what one call asks. What it does not know is an error, so that no line of a page is only taken for run.
func (e *engine) do(r request) (result, error) {
	switch {
	case len(r.Args) > 0 && r.Args[0] == "run":
		return e.runImage(r)
	case len(r.Args) > 2 && r.Args[0] == "exec" && e.running[r.Args[1]] != nil:
		running := e.running[r.Args[1]]
		return images.runIn(running.container, running.options, r.Args[2:], "")
	case slices.Equal(r.Args, []string{"build", "-t", "gatehouse", "."}):
		_, err := image() // of the checkout
		return result{}, err
	case len(r.Args) < 2 || r.Args[0] != "compose":
		return result{}, fmt.Errorf("the tests know no docker %v", r.Args)
	}
	args, files := r.Args[1:], []string{}
	for len(args) > 2 && args[0] == "-f" {
		files, args = append(files, args[1]), args[2:]
	}
	if len(files) == 0 {
		files = []string{"compose.yaml"}
	}
	p, err := loadProject(r.Dir, files)
	if err != nil {
		return result{}, err
	}
	switch {
	case slices.Equal(args, []string{"up", "-d", "--wait"}):
		return result{}, e.up(p)
	case len(args) > 2 && args[0] == "exec":
		return e.exec(p, args[1], args[2:])
	case len(args) == 3 && args[0] == "cp":
		return result{}, e.copyOut(p, args[1], filepath.Join(r.Dir, args[2]))
	}
	return result{}, fmt.Errorf("the tests know no docker compose %v", args)
}

// runImage is `docker run` of the image.
func (e *engine) runImage(r request) (result, error) {
	name, err := image()
	if err != nil {
		return result{}, err
	}
	options, daemon, command, err := e.runFlags(r.Args[1:])
	if err != nil {
		return result{}, err
	}
	if daemon == "" {
		container, err := images.buildah("from", name)
		if err != nil {
			return result{}, err
		}
		return images.runIn(container, options, command, r.Stdin)
	}
	config, err := images.config(name)
	if err != nil {
		return result{}, err
	}
	options = append(options, "-e", "CADDY_ADMIN=unix//config/admin.sock") // see options
	e.running[daemon], err = e.launch(name, options, config.Cmd)
	if err != nil {
		return result{}, err
	}
	return result{}, e.waitUntilHealthy(e.running[daemon])
}

// runFlags reads what follows `docker run`: flags, the name of the image and a command. daemon is the name of a container
// that is to run in the background.
func (e *engine) runFlags(args []string) (options []string, daemon string, command []string, err error) {
	for len(args) > 1 && strings.HasPrefix(args[0], "-") {
		switch flag, value := args[0], args[1]; flag {
		case "--rm", "-i", "-d":
			args = args[1:]
			continue
		case "--name":
			daemon = value
		case "-e":
			options = append(options, flag, value)
		case "-u":
			options = append(options, "--user", value)
		case "-w":
			options = append(options, "--workingdir", value)
		case "-p": // in the network of this machine, the port is another
			if value != "8080:8080" {
				return nil, "", nil, fmt.Errorf("the image does not listen on %s", value)
			}
			options = append(options, "-e", "PORT="+e.port)
		case "-v":
			source, target, _ := strings.Cut(value, ":")
			if !strings.Contains(source, "/") {
				if source, err = e.volume(source); err != nil {
					return nil, "", nil, err
				}
			}
			options = append(options, flag, source+":"+target)
		default:
			return nil, "", nil, fmt.Errorf("the tests know no docker run %s", flag)
		}
		args = args[2:]
	}
	if len(args) == 0 || args[0] != "gatehouse" {
		return nil, "", nil, fmt.Errorf("docker run of another image: %v", args)
	}
	return options, daemon, args[1:], nil
}

// runIn runs a command in a container.
func (s storage) runIn(container string, options, command []string, stdin string) (result, error) {
	cmd := s.command(context.Background(), runArgs(container, options, command)...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	return result{out.String(), errs.String()}, err
}

func runArgs(container string, options, command []string) []string {
	return slices.Concat([]string{"run", "--isolation", "chroot"}, options, []string{container, "--"}, command)
}
