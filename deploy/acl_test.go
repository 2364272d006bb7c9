package deploy

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestMNSPolicies: each action of a RAM policy belongs to one kind of resource, and the daemon sends nothing.
func TestMNSPolicies(t *testing.T) {
	onQueue := []string{"mns:GetQueueAttributes"}
	onMessages := []string{"mns:ReceiveMessage", "mns:BatchReceiveMessage", "mns:DeleteMessage", "mns:BatchDeleteMessage", "mns:PeekMessage", "mns:BatchPeekMessage"}
	for file, want := range map[string][]string{
		"acl/mns-daemon.json":   slices.Concat(onQueue, onMessages),
		"acl/mns-operator.json": slices.Concat(onQueue, []string{"mns:PeekMessage", "mns:BatchPeekMessage", "mns:SendMessage"}),
	} {
		var policy struct {
			Version   string
			Statement []struct {
				Effect           string
				Action, Resource any // one, or a list
			}
		}
		read(t, file, &policy)
		var got []string
		for _, s := range policy.Statement {
			actions, resources := list(s.Action), list(s.Resource)
			got = append(got, actions...)
			for _, r := range resources {
				if slices.Contains(onQueue, actions[0]) == strings.HasSuffix(r, "/messages") || !strings.HasPrefix(r, "acs:mns:{region}:{account id}:/queues/{") {
					t.Errorf("%s: %v on %s", file, actions, r)
				}
				if actions[0] == "mns:SendMessage" && strings.Contains(r, "JDPay") {
					t.Errorf("%s: it may send to the queue of payments", file)
				}
			}
		}
		if policy.Version != "1" || !slices.Equal(got, want) {
			t.Errorf("%s gives %v, want %v", file, got, want)
		}
	}
}

func TestElasticsearchRole(t *testing.T) {
	var role struct {
		Cluster []string
		Indices []struct{ Names, Privileges []string }
	}
	read(t, "acl/elasticsearch-role.json", &role)
	if len(role.Indices) != 1 || !slices.Equal(role.Indices[0].Names, []string{"jdpay-events-*"}) || slices.Contains(role.Indices[0].Privileges, "all") {
		t.Errorf("the role is %+v", role)
	}
	// Documents are only created, in indexes that are made by the first of them, after the template was installed.
	if want := []string{"monitor", "manage_index_templates"}; !slices.Equal(role.Cluster, want) {
		t.Errorf("the role's cluster privileges are %v, want %v", role.Cluster, want)
	}
	if want := []string{"create_doc", "auto_configure"}; len(role.Indices) == 1 && !slices.Equal(role.Indices[0].Privileges, want) {
		t.Errorf("the role's privileges on indexes are %v, want %v", role.Indices[0].Privileges, want)
	}
	sample, err := os.ReadFile("../configs/appsettings.json")
	if err != nil || !strings.Contains(string(sample), `"Index": "jdpay-events"`) {
		t.Errorf("the default index is another one: change the role: %v", err)
	}
}

func read(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func list(v any) (out []string) {
	if one, ok := v.(string); ok {
		return []string{one}
	}
	for _, item := range v.([]any) {
		out = append(out, item.(string))
	}
	return out
}
