// Package config reads appsettings files, environment variables and flags into one Config before the first payment is
// received. It knows where each value comes from and checks its type and range. The adapters check whether the values
// work; their faults are reported together with those of this package, with file and line (Loaded.Fault). Watch reloads the
// few settings that may change while payments run.
//
// The struct below is the single description of every key: names are the field names joined with ":", and the tags say
//
//	default   the value when no source gives one; lists as a,b and maps as k=v,k=v
//	required  "true" when an empty value is a fault
//	oneof     the allowed words, separated by spaces
//	range     the allowed numbers, as min..max
//	address   "true" when the text is an address, of which user and password are masked
//	live      "true" when a changed file applies without a restart
//	doc       the line printed in docs/configuration.md
//	where     where to find the value, said when a required key is missing
//
// Defaults, binding, checks, the list of known keys, the output of "config check" and the documentation are made from it.
package config

import (
	"log/slog"
	"path"
	"slices"
	"time"
)

// Config is every setting of the daemon. It is read-only once loaded.
type Config struct {
	Logging           Logging
	Host              Host
	ConnectionStrings ConnectionStrings
	Mns               Mns
	JDPay             JDPay
	SyncReply         SyncReply
	Payment           Payment
	Mqtt              Mqtt
	JDApi             JDApi
	Redis             Redis
	Elasticsearch     Elasticsearch
	Jobs              Jobs
	Ops               Ops
	Console           Console
	Security          Security
	Alerts            Alerts
}

// Logging is the log's level and form.
type Logging struct {
	LogLevel LogLevel
	Format   string `default:"json" oneof:"json text ecs" doc:"Form of the log lines: json; text for eyes; ecs is JSON with the field names of the Elastic Common Schema, for pipelines to Elasticsearch."`
}

// LogLevel is the .NET section of the same name; the daemon has one level for everything.
type LogLevel struct {
	Default slog.Level `default:"Information" live:"true" doc:"Least level that is logged."`
}

// Host is about the process.
type Host struct {
	ShutdownTimeout time.Duration `default:"30s" doc:"How long running work may take to finish after SIGTERM or SIGINT."`
	Instance        string        `doc:"Name of this process in logs, leases and the MQTT client id; unique per process, at most 40 of A-Z a-z 0-9 . _ -. Empty: made of host name, process id and a random part."`
}

// ConnectionStrings are the two MySQL databases.
type ConnectionStrings struct {
	Account Secret `required:"true" doc:"Database with the recharge orders and the job table."`
	Main    Secret `required:"true" doc:"Database with the post orders, devices and pay infos."`
}

// Mns is the access to the Aliyun message queues.
type Mns struct {
	Endpoint        string `required:"true" address:"true" doc:"http(s)://<account>.mns.<region>.aliyuncs.com, its VPC and internal forms, or any http://host:port."`
	AccessKeyId     Secret `doc:"Access key id. Empty: the SDK's credential chain is asked."`
	AccessKeySecret Secret `doc:"Secret of the access key id."`
	SecurityToken   Secret `doc:"Token of temporary (STS) credentials."`
	WaitSeconds     int    `default:"30" range:"0..30" doc:"Length of one long poll, in seconds."`
	BatchSize       int    `default:"16" range:"1..16" doc:"Messages taken by one receive."`
	MaxPollers      int    `default:"4" range:"1..64" doc:"Most concurrent pollers per queue; an idle queue has one."`
}

// JDPay is the queue and the signature of JD's notifications.
type JDPay struct {
	NotifyQueueName     string   `required:"true" doc:"Queue with JD's pay notifications."`
	Md5Key              []Secret `required:"true" doc:"Signing key, or a list of them while a key is rotated. A placeholder such as change-me is refused; fewer than 16 characters are a warning."`
	SignProfile         string   `default:"kv_amp_bare" oneof:"kv_amp_bare kv_append kv_amp_key concat_kv concat_kv_wrapped values_only data_key key_data" doc:"How the signed text is put together; \"jdpay-listener verify\" finds it from one real message. The concat_ profiles and values_only do not mark where fields begin: with them, a text that others choose in a signed field can be passed off as a payment."`
	SkipEmpty           bool     `default:"true" doc:"Fields without a value are not signed."`
	Exclude             []string `default:"sign" doc:"Envelope fields that are not signed, in any case. Never data or the status field."`
	Include             []string `doc:"The only fields that are signed, in any case; data and the status field must be among them. Empty: whatever arrived."`
	CaseInsensitiveSort bool     `default:"false" doc:"Field names are sorted ignoring case instead of by ASCII code."`
	TrimValues          bool     `default:"false" doc:"Values are signed without surrounding white space, and fields of nothing else like those without a value."`
	BodyEncoding        string   `default:"auto" oneof:"auto raw base64" doc:"Form of the MNS message body."`
}

// SyncReply is the second listener: cabinets' replies and JD's synchronous answers.
type SyncReply struct {
	QueueName     string   `doc:"Queue with the replies, not that of JDPay:NotifyQueueName. Empty: the listener is off."`
	Md5Key        []Secret `doc:"Signing key or keys of cabinets' replies; JDPay:Md5Key if it is empty. Payments on this queue always use JDPay:Md5Key."`
	Fields        ReplyFields
	RequireDevice bool     `default:"true" doc:"A reply counts only if it names the cabinet that the command was sent to. false: one that names no cabinet counts, too."`
	SuccessCodes  []string `default:"0,200,SUCCESS" doc:"Reply codes that mean the cabinet did it."`
	PendingCodes  []string `doc:"Reply codes that are not final, such as busy or opening."`
}

// ReplyFields names the fields of a reply's payload; they are matched ignoring case.
type ReplyFields struct {
	MessageId string `default:"messageId" required:"true" doc:"Payload field with the id of the command that is answered."`
	Device    string `default:"deviceSn" required:"true" doc:"Payload field with the cabinet's serial number."`
	Code      string `default:"code" required:"true" doc:"Payload field with the result code."`
	Text      string `default:"message" required:"true" doc:"Payload field with the result text."`
}

// Payment is how a notification becomes a paid order.
type Payment struct {
	AmountUnit         string         `default:"yuan" oneof:"yuan fen" doc:"Unit of payAmount."`
	AmountCheck        string         `default:"enforce" oneof:"enforce report off" doc:"What happens when payAmount differs from the order's amount, or is 0 and the order has none: enforce parks, report settles and alerts, off books whatever was paid."`
	PayTypes           map[string]int `default:"WXPAY=2" live:"true" doc:"Payment type stored for each exact payType."`
	DefaultPayType     int            `default:"10" live:"true" doc:"Payment type stored for any other payType."`
	PaidStatus         int            `default:"1" doc:"Payment status written to the pay info."`
	PayMessage         string         `default:"寄件支付" doc:"Message of the pay info."`
	PayInfoTime        string         `default:"pay_time" oneof:"pay_time now" doc:"Time of the pay info: JD's pay time or the time of writing."`
	StatusField        string         `doc:"Notification field with the payment's status, in data or else among the signed fields of the envelope. Empty: the status is not looked at."`
	SuccessStatuses    []string       `doc:"Values of the status field that mean paid."`
	TimeZone           string         `default:"Asia/Shanghai" doc:"IANA zone of pay times that carry none."`
	UnknownOrderWindow time.Duration  `default:"10m" doc:"How long a payment waits for its order row before it is parked."`
	GracePeriod        time.Duration  `default:"2m" doc:"A message, a reply or a step that is not done after this time is an alert."`
	TestOrders         []string       `doc:"Order numbers, or patterns of them such as TEST-*, that \"jdpay-listener send\" may pay on a real queue. Case counts."`
}

// IsTestOrder reports whether an order number is one that "jdpay-listener send" may pay on a real queue.
func (p Payment) IsTestOrder(orderNo string) bool {
	return slices.ContainsFunc(p.TestOrders, func(pattern string) bool {
		matches, err := path.Match(pattern, orderNo)
		return matches && err == nil
	})
}

// Location returns the zone of pay times that carry none. It panics when p did not come from Load.
func (p Payment) Location() *time.Location {
	loc, err := time.LoadLocation(p.TimeZone)
	if err != nil {
		panic("config: Payment:TimeZone was not validated: " + p.TimeZone)
	}
	return loc
}

// Mqtt is the cabinets' broker, and the command sent through it.
type Mqtt struct {
	Server           string        `required:"true" address:"true" doc:"Host of the broker; host:port, tcp:// and mqtts:// forms are understood."`
	Port             int           `default:"1883" range:"1..65535" doc:"Port of the broker (8883 for an mqtts:// server that names none)."`
	Username         string        `doc:"User name."`
	Password         Secret        `doc:"Password of the user."`
	ClientIdPrefix   string        `default:"jdpay-listener" doc:"MQTT client id, before the instance name."`
	PayCompleteTopic string        `default:"device/{DeviceGroupSN}/pay-complete" required:"true" doc:"Topic of the cabinet command; {DeviceGroupSN}, {PostOrderId} and {DeviceType} are filled in."`
	RequireReply     bool          `default:"false" doc:"A command counts as done only when the cabinet has replied. If it is false, a command that the broker acknowledged and no cabinet received is not noticed."`
	ReplyTimeout     time.Duration `default:"10s" doc:"Wait for the reply before the command is sent again."`
	CommandTtl       time.Duration `default:"15m" live:"true" doc:"Age at which a command is given up, from when MNS took the notification in: no door opens long after the customer left."`
	Tls              MqttTls
}

// MqttTls is the encryption of the broker connection.
type MqttTls struct {
	Enabled  bool   `default:"false" doc:"Connect with TLS."`
	CaFile   string `doc:"PEM file with the authorities the broker's certificate is checked against. Empty: the system's."`
	CertFile string `doc:"PEM file with the client certificate."`
	KeyFile  string `doc:"PEM file with the key of the client certificate."`
}

// JDApi is the call that tells JD a waybill is paid.
type JDApi struct {
	BaseUrl                 string            `required:"true" address:"true" doc:"Address of JD's API." where:"the replaced program had this address in its code, not in its file: search its source for updateWaybillStatus or JDBaseModel, or run strings -el *.dll | grep -i http in its folder; else look at its outgoing connections, or ask JD"`
	UpdateWaybillStatusPath string            `default:"/updateWaybillStatus" required:"true" doc:"Path of the call; with the jos signer the name of its method."`
	Signer                  string            `default:"none" oneof:"none header jos" doc:"How calls are authenticated."`
	AppKey                  Secret            `doc:"Application key of the jos signer."`
	AppSecret               Secret            `doc:"Application secret of the jos signer."`
	AccessToken             Secret            `doc:"Access token of the jos signer."`
	Headers                 map[string]Secret `doc:"Headers the header signer adds."`
	ProducerCode            string            `required:"true" doc:"Producer of JD sending cabinets (device type 6)."`
	CloudProducerCode       string            `required:"true" doc:"Producer of all other cabinets."`
	Timeout                 time.Duration     `default:"15s" doc:"Limit of one call."`
	RetryCodes              []string          `doc:"Codes in a refusal of JD's service that are worth another try. Errors of the jos platform itself need none: its outages are retried."`
	DoneCodes               []string          `doc:"Codes in a refusal of JD's service that mean it was done before. An error of the jos platform itself never counts, whatever its code."`
	CaFile                  string            `doc:"PEM file with the authorities that JD's certificate is checked against. Empty: the system's."`
	MaxPerSecond            float64           `default:"0" range:"0..100000" doc:"Most calls per second. 0: no limit."`
}

// Redis is the device cache and the channel to services that wait for replies.
type Redis struct {
	Server         Secret        `doc:"host, host:port, a StackExchange.Redis string or a redis:// address. Empty, with EndPoints empty too: Redis is off."`
	EndPoints      []Secret      `doc:"Several endpoints (cluster, or Sentinels with serviceName=), as a list or one comma-separated string. Wins over Server."`
	Password       Secret        `doc:"Wins over the password inside Server or EndPoints."`
	Db             int           `default:"0" range:"-1..65535" doc:"Database number. 0 and -1: the one inside Server or EndPoints, else 0."`
	CaFile         string        `doc:"PEM file with the authorities that the servers' certificates are checked against, with ssl=true or rediss://. Empty: the system's."`
	DeviceCacheTtl time.Duration `default:"10m" doc:"How long a device group is cached."`
	ReplyKeyPrefix string        `default:"jdpay:reply:" doc:"Prefix of the keys and channels replies are written to; not one under which cabinets are cached (jdpay:device:)."`
	ReplyTtl       time.Duration `default:"5m" doc:"How long a reply is kept."`
}

// Elasticsearch receives one document per concluded job.
type Elasticsearch struct {
	Url      string `address:"true" doc:"Address of the cluster. Empty: off."`
	Index    string `default:"jdpay-events" doc:"Index name; -yyyy.MM is appended."`
	Username string `doc:"User name."`
	Password Secret `doc:"Password of the user."`
	ApiKey   Secret `doc:"API key, instead of user and password."`
	CaFile   string `doc:"PEM file with the authorities that the cluster's certificate is checked against. Empty: the system's."`
}

// Ops is the operator's HTTP server.
type Ops struct {
	Listen string `default:"127.0.0.1:9300" doc:"Address of probes and metrics. Without a token only loopback is allowed. Port 0: any free one, which the log names (ops_address). Empty: off, without probes and metrics. Two daemons on one host need two."`
	Token  Secret `doc:"Token that everything but the two probes asks for."`
	// Profile is refused without a token.
	Profile bool `default:"false" doc:"Serve Go's profiles (/debug/pprof) on the ops port, for go tool pprof. Needs Ops:Token, also on loopback."`
}

// Console is the page for people without a shell, a process of its own: jdpay-listener console.
type Console struct {
	Listen             string            `default:"127.0.0.1:9301" doc:"Address of the console. Without a sign-in (Console:Tokens, Console:UserHeader) only loopback is allowed. Port 0: any free one, which the log names."`
	Tokens             map[string]Secret `doc:"A token for each person who may sign in, by the person's name; at least 16 characters."`
	UserHeader         string            `doc:"Request header in which a proxy of Console:TrustedProxies gives the name of who is signed in, such as X-Forwarded-User. Empty: none."`
	TrustedProxies     []string          `doc:"Addresses of proxies, such as 10.0.0.5 or 10.0.0.0/24, of which Console:UserHeader, X-Forwarded-For and X-Forwarded-Proto are believed. They must remove these headers from what they receive."`
	Acts               bool              `default:"false" doc:"Those of Console:Operators may retry and discard jobs."`
	Operators          []string          `doc:"Names of those who may act, as they sign in."`
	OperatorConnection Secret            `doc:"Connection of the account database for acts, as user jdpay_operator; ConnectionStrings are those of jdpay_read."`
	CertFile           string            `doc:"PEM file with the console's certificate. Empty: no TLS."`
	KeyFile            string            `doc:"PEM file with the key of the certificate."`
}

// Security is what the daemon refuses.
type Security struct {
	Strict bool `default:"false" doc:"Refuse to run unless every connection that leaves this machine is encrypted and the server at its other end verified, and the ops port listens on loopback; see docs/security.md."`
}

// Alerts are the receivers of alerts.
type Alerts struct {
	Language  string `default:"zh" oneof:"zh en" live:"true" doc:"Language of the cards."`
	Console   string `live:"true" address:"true" doc:"Address of the console as operators reach it, such as https://jdpay.example:9300: cards link to it. Empty: cards name commands only."`
	Heartbeat Secret `live:"true" doc:"Address that is asked (GET) every minute while the daemon is healthy, for a service that tells when the requests stop. Empty: off."`
	// NightlyAudit is its mode.
	NightlyAudit string `default:"on" oneof:"on paid_elsewhere off" doc:"Audit at three in the morning (Payment:TimeZone), with an alert if it finds something: paid_elsewhere if other programs mark orders paid, too."`
	DingTalk     DingTalk
	WeCom        WeCom
	Feishu       Feishu
	Webhook      Webhook
}

// DingTalk is a DingTalk group robot.
type DingTalk struct {
	Url       Secret   `live:"true" doc:"Robot address with its access token. Empty: off."`
	Secret    Secret   `live:"true" doc:"Signing secret of the robot (its security setting 加签, SEC…)."`
	AtMobiles []string `live:"true" doc:"Mobile numbers that are mentioned by alerts that are to wake people."`
	AtAll     bool     `default:"false" live:"true" doc:"Alerts that are to wake people mention the whole group."`
}

// Feishu is a Feishu (飞书, Lark) group robot.
type Feishu struct {
	Url     Secret   `live:"true" doc:"Robot address. Empty: off."`
	Secret  Secret   `live:"true" doc:"Signing secret of the robot (its security setting 签名校验)."`
	AtUsers []string `live:"true" doc:"Open ids (ou_…) of users that are mentioned by alerts that are to wake people."`
	AtAll   bool     `default:"false" live:"true" doc:"Alerts that are to wake people mention the whole group."`
}

// WeCom is a WeCom (企业微信) group robot.
type WeCom struct {
	Url       Secret   `live:"true" doc:"Robot address with its key. Empty: off."`
	AtMobiles []string `live:"true" doc:"Mobile numbers that are mentioned by alerts that are to wake people; these come as plain text then."`
	AtAll     bool     `default:"false" live:"true" doc:"Alerts that are to wake people mention the whole group; these come as plain text then."`
}

// Webhook is any HTTP receiver of alerts.
type Webhook struct {
	Url    Secret `live:"true" doc:"Address alerts are posted to as JSON. Empty: off."`
	Secret Secret `live:"true" doc:"Secret the posts are signed with, as of Standard Webhooks: whsec_ and the key in base64, or any text, whose bytes are the key."`
}
