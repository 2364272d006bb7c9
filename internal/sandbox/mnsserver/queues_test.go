package mnsserver

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCreateQueue(t *testing.T) {
	tests := []struct {
		name, queue, body string
		status            int
		code              string
	}{
		{"new", "new", "<Queue/>", 201, ""},
		{"new, without a body", "new", "", 201, ""},
		{"new, with everything", "new", "<Queue><LoggingEnabled>TRUE</LoggingEnabled><PollingWaitSeconds>30</PollingWaitSeconds>" +
			"<VisibilityTimeout>43200</VisibilityTimeout><MessageRetentionPeriod>604800</MessageRetentionPeriod>" +
			"<MaximumMessageSize>1024</MaximumMessageSize><DelaySeconds>604800</DelaySeconds></Queue>", 201, ""},
		{"new, with an unknown element", "new", "<Queue><Slices>2</Slices></Queue>", 201, ""},
		{"there already", testQueue, "<Queue><VisibilityTimeout>30</VisibilityTimeout></Queue>", 204, ""},
		{"there with other attributes", testQueue, "<Queue><VisibilityTimeout>31</VisibilityTimeout></Queue>", 409, "QueueAlreadyExist"},
		{"name with an underscore", "a_b", "<Queue/>", 400, "InvalidQueueName"},
		{"name with a hyphen first", "-a", "<Queue/>", 400, "InvalidQueueName"},
		{"name of 121 letters", strings.Repeat("a", 121), "<Queue/>", 400, "QueueNameLengthError"},
		{"another root", "new", "<Topic/>", 400, "InvalidArgument"},
		{"not XML", "new", "VisibilityTimeout=30", 400, "MalformedXML"},
		{"visibility 0", "new", "<Queue><VisibilityTimeout>0</VisibilityTimeout></Queue>", 400, "InvalidArgument"},
		{"polling 31", "new", "<Queue><PollingWaitSeconds>31</PollingWaitSeconds></Queue>", 400, "InvalidArgument"},
		{"retention 59", "new", "<Queue><MessageRetentionPeriod>59</MessageRetentionPeriod></Queue>", 400, "InvalidArgument"},
		{"size 1023", "new", "<Queue><MaximumMessageSize>1023</MaximumMessageSize></Queue>", 400, "InvalidArgument"},
		{"delay that is no number", "new", "<Queue><DelaySeconds>soon</DelaySeconds></Queue>", 400, "InvalidArgument"},
		{"logging maybe", "new", "<Queue><LoggingEnabled>maybe</LoggingEnabled></Queue>", 400, "InvalidArgument"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := newClient(t, newServer()).do("PUT", "/queues/"+tt.queue, tt.body).want(t, tt.status, tt.code)
			location := ""
			if tt.code == "" {
				location = "http://1234.mns.cn-hangzhou.aliyuncs.com/queues/" + tt.queue
			}
			if got := a.Header.Get("Location"); got != location {
				t.Errorf("Location %q, want %q", got, location)
			}
		})
	}
}

// queueDocument is the reply of GetQueueAttributes.
type queueDocument struct {
	QueueName                                       string
	CreateTime, LastModifyTime                      int64
	DelaySeconds, MaximumMessageSize                int
	MessageRetentionPeriod, VisibilityTimeout       int
	PollingWaitSeconds                              int
	LoggingEnabled                                  string
	ActiveMessages, InactiveMessages, DelayMessages int
}

func TestQueueAttributes(t *testing.T) {
	start := time.Date(2020, 11, 20, 12, 0, 0, 0, time.UTC)
	s := New(Options{Keys: map[string]string{testKey: testSecret}, Queues: []string{testQueue}, Clock: func() time.Time { return start }})
	c := newClient(t, s)
	c.now = s.wallClock
	s.Put(testQueue, "a", "b", "c")
	c.put("d", "<DelaySeconds>9</DelaySeconds>").want(t, 201, "")
	c.mustReceive()
	s.ShiftClock(3 * time.Second)
	c.do("PUT", "/queues/"+testQueue+"?metaoverride=true", "<Queue><PollingWaitSeconds>7</PollingWaitSeconds></Queue>").want(t, 204, "")
	c.do("PUT", "/queues/"+testQueue+"?metaoverride=true", "<Queue><LoggingEnabled>True</LoggingEnabled></Queue>").want(t, 204, "")
	c.do("PUT", "/queues/none?metaoverride=true", "<Queue/>").want(t, 404, "QueueNotExist")

	a := c.do("GET", "/queues/"+testQueue, "").want(t, 200, "")
	var got queueDocument
	if err := xml.Unmarshal([]byte(a.Text), &got); err != nil {
		t.Fatal(err)
	}
	want := queueDocument{
		QueueName: testQueue, CreateTime: start.Unix(), LastModifyTime: start.Unix() + 3,
		MaximumMessageSize: 65536, MessageRetentionPeriod: 345600, VisibilityTimeout: 30, PollingWaitSeconds: 7,
		LoggingEnabled: "True", ActiveMessages: 2, InactiveMessages: 1, DelayMessages: 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(a.Text, "<?xml version=\"1.0\" ?>\n<Queue xmlns=\"http://mns.aliyuncs.com/doc/v1/\">") {
		t.Errorf("the document begins %.80q", a.Text)
	}
}

func TestListQueue(t *testing.T) {
	var names []string
	for i := range 7 {
		names = append(names, fmt.Sprintf("list-%d", i))
	}
	c := newClient(t, newServer(names...))
	list := func(t *testing.T, headers ...string) answered {
		t.Helper()
		r := c.request("GET", "/queues", "")
		lines := []string{"x-mns-version:2015-06-06\n"}
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
			lines = append(lines, headers[i]+":"+headers[i+1]+"\n")
		}
		slices.Sort(lines)
		text := "GET\n" + r.Header.Get("Content-Md5") + "\napplication/xml\n" + r.Header.Get("Date") + "\n" +
			strings.Join(lines, "") + "/queues"
		r.Header.Set("Authorization", "MNS "+testKey+":"+sign(testSecret, text))
		return c.send(r)
	}
	t.Run("pages", func(t *testing.T) {
		var got []string
		marker := ""
		for range 4 {
			headers := []string{"x-mns-marker", marker, "x-mns-prefix", "list-", "x-mns-ret-number", "3"}
			page := list(t, headers...).want(t, 200, "")
			for _, q := range page.Queues {
				got = append(got, q.QueueURL[strings.LastIndex(q.QueueURL, "/")+1:])
			}
			if marker = page.NextMarker; marker == "" {
				break
			}
		}
		if diff := cmp.Diff(names, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("with attributes", func(t *testing.T) {
		page := list(t, "x-mns-prefix", "pay", "x-mns-with-meta", "true").want(t, 200, "")
		if len(page.Queues) != 1 || page.Queues[0].QueueName != testQueue || !strings.Contains(page.Text, "<VisibilityTimeout>30<") {
			t.Errorf("listed %s", page.Text)
		}
	})
	t.Run("a page of exactly all", func(t *testing.T) {
		page := list(t, "x-mns-prefix", "list-", "x-mns-ret-number", "7").want(t, 200, "")
		if len(page.Queues) != 7 || page.NextMarker != "" {
			t.Errorf("listed %s", page.Text)
		}
	})
	t.Run("nothing", func(t *testing.T) {
		if page := list(t, "x-mns-prefix", "none").want(t, 200, ""); len(page.Queues) != 0 {
			t.Errorf("listed %s", page.Text)
		}
	})
	t.Run("a page of 0", func(t *testing.T) {
		list(t, "x-mns-ret-number", "0").want(t, 400, "InvalidArgument")
	})
}
