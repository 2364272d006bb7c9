package testenv

// Settings returns variables of the environment that make a complete configuration, whose servers are addresses of this machine
// at which nothing listens, and after them the given ones, NAME=value, which win.
func Settings(environ ...string) []string {
	return append([]string{
		"ConnectionStrings__Account=Server=127.0.0.1;Port=1;Database=d;Uid=u;SslMode=None", "ConnectionStrings__Main=Server=127.0.0.1;Port=1;Database=d;Uid=u;SslMode=None",
		"Mns__Endpoint=http://127.0.0.1:1", "JDPay__NotifyQueueName=q", "JDPay__Md5Key=a-key-of-the-tests", "Mqtt__Server=127.0.0.1", "Mqtt__Port=1",
		"JDApi__BaseUrl=http://127.0.0.1:1", "JDApi__ProducerCode=P", "JDApi__CloudProducerCode=C",
	}, environ...)
}
