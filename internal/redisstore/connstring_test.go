package redisstore

import (
	"testing"
	"time"

	"jdpay-listener/internal/testenv"

	"github.com/google/go-cmp/cmp"
)

func TestParseConnectionString(t *testing.T) {
	const unknown = " is an option that has no effect here"
	tests := map[string]struct {
		text    string
		want    Options
		notices []string
	}{
		"host":                      {text: "h", want: Options{Addrs: []string{"h:6379"}}},
		"host and port":             {text: " h:6380 ", want: Options{Addrs: []string{"h:6380"}}},
		"IPv6":                      {text: "[::1]:6380,::2", want: Options{Addrs: []string{"[::1]:6380", "[::2]:6379"}}},
		"several hosts":             {text: "a:1,b, c:3", want: Options{Addrs: []string{"a:1", "b:6379", "c:3"}}},
		"password":                  {text: "h,password=p=w@x", want: Options{Addrs: []string{"h:6379"}, Password: "p=w@x"}},
		"address inside a password": {text: "h,password=a://b", want: Options{Addrs: []string{"h:6379"}, Password: "a://b"}},
		"all options": {
			text: "h:1,user=u,password=p,ssl=True,defaultDatabase=3,abortConnect=false,connectTimeout=2500,connectRetry=3,syncTimeout=1,keepAlive=60,name=n,allowAdmin=true",
			want: Options{Addrs: []string{"h:1"}, Username: "u", Password: "p", TLS: true, DB: 3, ConnectTimeout: 2500 * time.Millisecond, ClientName: "n"},
		},
		"TLS without a port":   {text: "h,ssl=true", want: Options{Addrs: []string{"h:6380"}, TLS: true}},
		"name on certificates": {text: "h,ssl=true,sslHost=cache.test", want: Options{Addrs: []string{"h:6380"}, TLS: true, ServerName: "cache.test"}},
		"name without TLS":     {text: "h,sslHost=cache.test", want: Options{Addrs: []string{"h:6379"}, ServerName: "cache.test"}, notices: []string{"sslHost has no effect without ssl=true"}},
		"Sentinels":            {text: "a,b:1,serviceName=m", want: Options{Addrs: []string{"a:26379", "b:1"}, MasterName: "m"}},
		"database -1":          {text: "h,defaultDatabase=-1", want: Options{Addrs: []string{"h:6379"}}},
		"channel prefix":       {text: "h,channelPrefix=x", want: Options{Addrs: []string{"h:6379"}}, notices: []string{"channelPrefix has no effect here; put it in front of the prefix of replies"}},
		"unknown option":       {text: "h,proxy=Twemproxy", want: Options{Addrs: []string{"h:6379"}}, notices: []string{"part 2" + unknown}},
		"client name":          {text: "h,name=jd:pay~1", want: Options{Addrs: []string{"h:6379"}, ClientName: "jd:pay~1"}},
		"client name with blanks and Chinese": {
			text: "h,name=JD 支付\tlistener\x00\u00e9,password=p", want: Options{Addrs: []string{"h:6379"}, ClientName: "JDlistener", Password: "p"},
			notices: []string{"name: Redis takes only visible ASCII characters in it, the others are left out"},
		},
		"client name of which nothing is left": {
			text: "h,name=支付 监听", want: Options{Addrs: []string{"h:6379"}},
			notices: []string{"name: Redis takes only visible ASCII characters in it, the others are left out"},
		},
		"URL":                {text: "redis://h", want: Options{Addrs: []string{"h:6379"}}},
		"URL with all parts": {text: "rediss://u:p%40w@h:6380/2", want: Options{Addrs: []string{"h:6380"}, Username: "u", Password: "p@w", TLS: true, DB: 2}},
		"URL, password only": {text: "redis://:p@h/?db=4", want: Options{Addrs: []string{"h:6379"}, Password: "p", DB: 4}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, notices, err := ParseConnectionString(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.notices, testenv.Texts(notices)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseConnectionStringRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"password=x":          "no endpoint (host:port)",
		"h:0":                 "endpoint in part 1: the port is not a number from 1 to 65535",
		"h,a/b":               "endpoint in part 2: not a host name",
		"h,ssl=maybe":         "ssl is not true or false",
		"h,defaultDatabase=x": "the database is not a number",
		"h,connectTimeout=0":  "connectTimeout is not a number of milliseconds above zero",
		"http://h":            "its scheme is not redis or rediss",
		"redis://:p%zz@h":     "not a redis:// address (percent-encode special characters in the password)",
		"redis:///1":          "not a host name",
		"redis://h/one":       "the database is not a number",
	} {
		t.Run(text, func(t *testing.T) {
			_, _, err := ParseConnectionString(text)
			if err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}
