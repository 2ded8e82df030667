package shipped

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"
)

// project is a Compose project: what the files of deploy/compose use of the format, and nothing else.
type project struct {
	dir      string
	env      map[string]string // of .env
	Services map[string]*service
	Volumes  map[string]any
}

type service struct {
	Image       string
	Restart     string
	Command     []string
	EnvFile     string `yaml:"env_file"`
	Environment map[string]string
	Ports       []string
	Volumes     []string
	ReadOnly    bool `yaml:"read_only"`
	Tmpfs       []string
	CapDrop     []string                              `yaml:"cap_drop"`
	SecurityOpt []string                              `yaml:"security_opt"`
	DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	Healthcheck struct {
		Test              []string
		Interval, Timeout string
		Retries           int
	}
}

// loadProject reads Compose files, later ones on top.
func loadProject(dir string, files []string) (*project, error) {
	p := &project{dir: dir, Services: make(map[string]*service), Volumes: make(map[string]any)}
	raw, err := os.ReadFile(filepath.Join(dir, ".env"))
	if err != nil {
		return nil, err
	}
	if p.env, err = readEnv(string(raw)); err != nil {
		return nil, err
	}
	for _, name := range files {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		text, err := p.interpolate(string(raw))
		if err != nil {
			return nil, err
		}
		var more project
		d := yaml.NewDecoder(strings.NewReader(text))
		d.KnownFields(true)
		if err := d.Decode(&more); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		maps.Copy(p.Volumes, more.Volumes)
		for name, s := range more.Services {
			if p.Services[name] == nil {
				p.Services[name] = s
				continue
			}
			p.Services[name].Environment, p.Services[name].DependsOn = s.Environment, s.DependsOn
		}
	}
	return p, nil
}

var variable = regexp.MustCompile(`\$\{(\w+):\?[^}]*\}`)

// interpolate replaces the variables of a Compose file, all of which have to be in .env.
func (p *project) interpolate(text string) (string, error) {
	var missing error
	text = variable.ReplaceAllStringFunc(text, func(found string) string {
		name := variable.FindStringSubmatch(found)[1]
		if p.env[name] == "" {
			missing = errors.Join(missing, fmt.Errorf("%s is not in .env", name))
		}
		return p.env[name]
	})
	if strings.Contains(text, "${") {
		missing = errors.Join(missing, errors.New("a variable of another form"))
	}
	return text, missing
}

var assignment = regexp.MustCompile(`^(\w+)=(?:([\w@%+=:,./-]*)|'([^'\\]*)')$`)

// readEnv reads an env file whose values Docker, Caddy and a shell read in the same way.
func readEnv(text string) (map[string]string, error) {
	env := make(map[string]string)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := assignment.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("not every reader takes this line of .env in the same way: %s", line)
		}
		env[m[1]] = m[2] + m[3]
	}
	return env, nil
}

// process is a service that runs.
type process struct {
	container string
	options   []string
	pid       int
	ended     chan struct{}
	log       string
}

func (p *process) stop() {
	_ = syscall.Kill(-p.pid, syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		_ = syscall.Kill(-p.pid, syscall.SIGKILL)
		<-p.ended
	}
}

// up starts or replaces the gate, after the services that it depends on are healthy, and waits until it is.
func (e *engine) up(p *project) error {
	for name, on := range p.Services["gatehouse"].DependsOn {
		other := p.Services[name]
		if other == nil || on.Condition != "service_healthy" || e.hosts[name] == "" || e.ready == nil {
			return fmt.Errorf("gatehouse depends on %s, which is not there", name)
		}
		if err := e.ready(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		e.log = append(e.log, name)
	}
	for name := range p.Services {
		if name != "gatehouse" && e.hosts[name] == "" {
			return fmt.Errorf("nobody plays %s", name)
		}
	}
	if old := e.running["gatehouse"]; old != nil {
		old.stop()
	}
	started, err := e.start(p)
	if err != nil {
		return err
	}
	e.running["gatehouse"] = started
	e.log = append(e.log, "gatehouse")
	return e.waitUntilHealthy(started)
}

// start starts the gate as its service says, in a new container.
func (e *engine) start(p *project) (*process, error) {
	s := p.Services["gatehouse"]
	name, err := image()
	if err != nil {
		return nil, err
	}
	config, err := images.config(name)
	if err != nil {
		return nil, err
	}
	options, err := e.options(p, s)
	if err != nil {
		return nil, err
	}
	command := s.Command
	if len(command) == 0 {
		command = config.Cmd
	}
	return e.launch(name, options, command)
}

// launch runs a command in a new container.
func (e *engine) launch(name string, options, command []string) (*process, error) {
	from := []string{"from"}
	for host, at := range e.hosts {
		from = append(from, "--add-host", host+":"+at)
	}
	container, err := images.buildah(append(from, name)...)
	if err != nil {
		return nil, err
	}
	log, err := os.CreateTemp(e.dir, "log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := images.command(e.t.Context(), runArgs(container, options, command)...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return nil } // the engine stops it
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{container: container, options: options, pid: cmd.Process.Pid, ended: make(chan struct{}), log: log.Name()}
	go func() { _ = cmd.Wait(); close(p.ended) }()
	return p, nil
}

// options returns what a service wants of `buildah run`: environment and volumes.
func (e *engine) options(p *project, s *service) ([]string, error) {
	// In the network of this machine, where each container has its own, there is one admin API for all.
	options := []string{"-e", "CADDY_ADMIN=unix//config/admin.sock"}
	if s.EnvFile == ".env" {
		for _, name := range slices.Sorted(maps.Keys(p.env)) {
			options = append(options, "-e", name+"="+p.env[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Environment)) {
		options = append(options, "-e", name+"="+s.Environment[name])
	}
	for _, v := range s.Volumes {
		source, target, _ := strings.Cut(v, ":")
		if _, named := p.Volumes[source]; !named {
			options = append(options, "-v", filepath.Join(p.dir, source)+":"+target)
			continue
		}
		dir, err := e.volume(source)
		if err != nil {
			return nil, err
		}
		options = append(options, "-v", dir+":"+target)
	}
	return options, nil
}

// volume returns the folder of a named volume, made with the owner that the image's folder has.
func (e *engine) volume(name string) (string, error) {
	dir := filepath.Join(e.dir, "volume-"+name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	return dir, errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, 10001, 10001), os.Chmod(e.dir, 0o711))
}

// waitUntilHealthy runs the health check of the image until it succeeds.
func (e *engine) waitUntilHealthy(p *process) error {
	name, err := image()
	if err != nil {
		return err
	}
	config, err := images.config(name)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); ; {
		out, err := images.runIn(p.container, p.options, config.Healthcheck.Test[1:], "")
		if err == nil {
			return nil
		}
		log, _ := os.ReadFile(p.log)
		select {
		case <-p.ended:
			return fmt.Errorf("the service ended:\n%s", log)
		case <-time.After(50 * time.Millisecond): // waits: the pause of a poll that has a deadline
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not healthy: %s\n%s", out.Errors, log)
		}
	}
}

func (e *engine) exec(p *project, name string, command []string) (result, error) {
	running := e.running[name]
	if p.Services[name] == nil || running == nil {
		return result{}, fmt.Errorf("no service %s is running", name)
	}
	return images.runIn(running.container, running.options, command, "")
}

// copyOut copies a file of a named volume.
func (e *engine) copyOut(p *project, from, to string) error {
	name, path, _ := strings.Cut(from, ":")
	for _, v := range p.Services[name].Volumes {
		source, target, _ := strings.Cut(v, ":")
		if rest, ok := strings.CutPrefix(path, target+"/"); ok {
			raw, err := os.ReadFile(filepath.Join(e.dir, "volume-"+source, rest))
			if err != nil {
				return err
			}
			return os.WriteFile(to, raw, 0o600)
		}
	}
	return fmt.Errorf("%s is in no volume", from)
}
