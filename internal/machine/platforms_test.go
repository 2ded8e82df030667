package machine_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/machine"
	idp "github.com/gatehouse-auth/gatehouse/internal/testenv/provider"
)

// platform is how one platform's tokens are made, by its documentation, and the lines that docs/programs.md proposes.
type platform struct {
	header    map[string]any
	claims    string // without iss, aud and times
	audience  any
	rule      machine.Rule
	strangers []string // claims in place of these, of tokens that anybody can have made there
}

var platforms = map[string]platform{
	"GitHub Actions": {
		header: map[string]any{"typ": "JWT", "x5t": "example-thumbprint"},
		claims: `{"jti":"example-id","sub":"repo:octo-org/octo-repo:environment:prod","environment":"prod","ref":"refs/heads/main",` +
			`"sha":"example-sha","repository":"octo-org/octo-repo","repository_owner":"octo-org","actor_id":"12",` +
			`"repository_visibility":"private","repository_id":"74","repository_owner_id":"65","run_id":"example-run-id",` +
			`"run_number":"10","run_attempt":"2","runner_environment":"github-hosted","actor":"octocat","workflow":"example",` +
			`"head_ref":"","base_ref":"","event_name":"workflow_dispatch","ref_type":"branch","ref_protected":"true",` +
			`"job_workflow_ref":"octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main"}`,
		audience: audience,
		rule: rule("deploy", claim("repository_id", "74"), claim("repository_owner_id", "65"), claim("ref", "refs/heads/main"),
			claim("environment", "prod")),
		strangers: []string{
			`{"repository_id":"75"}`, `{"repository_owner_id":"66"}`, `{"ref":"refs/heads/main2"}`, `{"ref":"refs/pull/1/merge"}`,
			`{"environment":null}`, `{"environment":"Prod"}`, `{"repository_id":740}`, `{"repository_id":["75"]}`,
		},
	},
	"GitLab CI": {
		header: map[string]any{"typ": "JWT"},
		claims: `{"namespace_id":"72","namespace_path":"my-group","project_id":"20","project_path":"my-group/my-project",` +
			`"user_id":"1","user_login":"sample-user","user_email":"sample-user@example.com","user_access_level":"owner",` +
			`"user_identities":[{"provider":"github","extern_uid":"2435223452345"}],"pipeline_id":"574","pipeline_source":"push",` +
			`"job_id":"302","ref":"feature-branch-1","ref_type":"branch","ref_path":"refs/heads/feature-branch-1",` +
			`"ref_protected":"true","groups_direct":["mygroup/mysubgroup"],"environment":"test-environment2",` +
			`"environment_protected":"false","deployment_tier":"testing","environment_action":"start","runner_id":1,` +
			`"runner_environment":"self-hosted","sha":"714a629c0b401fdce83e847fc9589983fc6f46bc","project_visibility":"public",` +
			`"ci_config_ref_uri":"gitlab.example.com/my-group/my-project//.gitlab-ci.yml@refs/heads/main","jti":"235b3a54",` +
			`"sub":"project_path:my-group/my-project:ref_type:branch:ref:feature-branch-1","job_namespace_id":"72"}`,
		audience: audience,
		rule:     rule("deploy", claim("project_id", "20"), claim("namespace_id", "72"), claim("ref_protected", "true")),
		strangers: []string{
			`{"project_id":"21"}`, `{"namespace_id":"71"}`, `{"ref_protected":"false"}`, `{"project_id":20.0}`,
		},
	},
	"Kubernetes": {
		header: map[string]any{},
		claims: `{"kubernetes.io":{"namespace":"backup","node":{"name":"n1","uid":"646e7c5e"},"pod":{"name":"job-1","uid":"5e0bd49b"},` +
			`"serviceaccount":{"name":"runner","uid":"14ee3fa4"}},"sub":"system:serviceaccount:backup:runner","jti":"aed34954"}`,
		audience: []string{audience},
		rule: rule("backup", claim("kubernetes.io.namespace", "backup"), claim("kubernetes.io.serviceaccount.name", "runner"),
			claim("kubernetes.io.serviceaccount.uid", "14ee3fa4")),
		strangers: []string{
			`{"kubernetes.io":{"namespace":"backup","serviceaccount":{"name":"runner","uid":"other"}}}`,
			`{"kubernetes.io":{"namespace":"kube-system","serviceaccount":{"name":"runner","uid":"14ee3fa4"}}}`,
			`{"kubernetes.io":null,"kubernetes":{"io":{"namespace":"backup","serviceaccount":{"name":"default","uid":"14ee3fa4"}}}}`,
			`{"kubernetes.io":null}`, `{"kubernetes.io":"backup"}`,
		},
	},
	"Entra": {
		header: map[string]any{"typ": "JWT", "x5t": "AAAA"},
		claims: `{"aio":"E2NgYIhQ","azp":"00001111-aaaa-2222-bbbb-3333cccc4444","azpacr":"1","idtyp":"app",` +
			`"oid":"aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb","rh":"0.ARoA","roles":["Deploy.All"],` +
			`"sub":"aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb","tid":"aaaabbbb-0000-cccc-1111-dddd2222eeee","uti":"U1v7","ver":"2.0"}`,
		audience: "11112222-bbbb-3333-cccc-4444dddd5555",
		rule: rule("deploy", claim("azp", "00001111-aaaa-2222-bbbb-3333cccc4444"), claim("roles", "Deploy.All"),
			claim("idtyp", "app")),
		strangers: []string{
			`{"azp":"22223333-cccc-4444-dddd-5555eeee6666"}`, `{"roles":["Read.All"]}`, `{"roles":null}`, `{"idtyp":"user"}`,
			`{"idtyp":null,"scp":"Deploy.All"}`, `{"roles":"Deploy.All Read.All"}`,
		},
	},
}

func TestTokensOfPlatformsActAsTheirDocumentationHasThem(t *testing.T) {
	t.Parallel()
	for name, p := range platforms {
		w := newWorld(t, func(c *machine.Issuer) {
			c.Audiences, c.Rules = []string{audience, "11112222-bbbb-3333-cccc-4444dddd5555"}, []machine.Rule{p.rule}
		})
		sign := func(changes map[string]any) string {
			claims := object(t, p.claims)
			claims["iss"], claims["aud"] = w.idp.Issuer, p.audience
			now := began.Unix()
			claims["iat"], claims["nbf"], claims["exp"] = now, now, now+3600
			maps.Copy(claims, changes)
			maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
			return idp.RSA(0).Sign(claims, p.header)
		}
		if got := w.accepted(name, sign(nil)).Account; got != p.rule.Account {
			t.Errorf("%s: acts as %q", name, got)
		}
		for _, stranger := range p.strangers {
			if reason := w.refused(name+": "+stranger, sign(object(t, stranger))); !strings.Contains(reason, "no rule") {
				t.Errorf("%s: %s: refused because %s", name, stranger, reason)
			}
		}
		w.refused(name+" for somebody else", sign(map[string]any{"aud": "https://sts.example.com"}))
	}
}
