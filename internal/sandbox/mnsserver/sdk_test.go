package mnsserver

import (
	"testing"
	"time"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
	"github.com/gogap/errors"
	"github.com/google/go-cmp/cmp"
)

// TestVendorSDK makes all calls with the vendor's Go client. The SDK requires five parts between the dots of its endpoint;
// "/." adds the last and does not change the requests.
func TestVendorSDK(t *testing.T) {
	s := New(Options{Keys: map[string]string{testKey: testSecret}})
	c := newClient(t, s).overTCP()
	sdk := mns.NewAliMNSClientWithConfig(mns.AliMNSClientConfig{
		EndPoint: c.endpoint + "/.", AccessKeyId: testKey, AccessKeySecret: testSecret,
	})
	manager := mns.NewMNSQueueManager(sdk)
	queue := mns.NewMNSQueue(testQueue, sdk)
	isCode := func(err error, code errors.ErrCodeTemplate) {
		t.Helper()
		if !code.IsEqual(err) {
			t.Fatalf("got %v", err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	isCode(queueError(queue.SendMessage(mns.MessageSendRequest{MessageBody: "x", Priority: 8})), mns.ERR_MNS_QUEUE_NOT_EXIST)
	must(manager.CreateQueue(testQueue, 0, 65536, 345600, 30, 0, 2))
	isCode(manager.CreateQueue(testQueue, 0, 65536, 345600, 30, 0, 2), mns.ERR_MNS_QUEUE_ALREADY_EXIST_AND_HAVE_SAME_ATTR)
	isCode(manager.CreateQueue(testQueue, 0, 65536, 345600, 31, 0, 2), mns.ERR_MNS_QUEUE_ALREADY_EXIST)
	must(manager.SetQueueAttributesWithOptions(testQueue, mns.WithVisibilityTimeout(60)))
	attributes, err := manager.GetQueueAttributes(testQueue)
	must(err)
	if attributes.VisibilityTimeout != 60 || attributes.MessageRetentionPeriod != 345600 || attributes.QueueName != testQueue {
		t.Errorf("attributes %+v", attributes)
	}
	list, err := manager.ListQueueDetail("", 10, "p")
	must(err)
	if len(list.Attrs) != 1 || list.Attrs[0].VisibilityTimeout != 60 {
		t.Errorf("listed %+v", list)
	}

	isCode(queueError(queue.SendMessage(mns.MessageSendRequest{MessageBody: "x"})), mns.ERR_MNS_INVALID_ARGUMENT) // priority 0
	body := "8.00 元 <&>\r\n]]>"
	sent, err := queue.SendMessage(mns.MessageSendRequest{MessageBody: body, Priority: 8})
	must(err)
	received := receiveBySDK(t, queue)
	if diff := cmp.Diff(body, received.MessageBody); diff != "" || received.MessageId != sent.MessageId || received.MessageBodyMD5 != sent.MessageBodyMD5 {
		t.Errorf("sent %+v, received %+v %s", sent, received, diff)
	}
	changed, err := queue.ChangeMessageVisibility(received.ReceiptHandle, 90)
	must(err)
	isCode(queue.DeleteMessage(received.ReceiptHandle), mns.ERR_MNS_MESSAGE_NOT_EXIST)
	isCode(queue.DeleteMessage("nonsense"), mns.ERR_MNS_RECEIPT_HANDLE_ERROR)
	must(queue.DeleteMessage(changed.ReceiptHandle))

	var batch []mns.MessageSendRequest
	for range 16 {
		batch = append(batch, mns.MessageSendRequest{MessageBody: body, Priority: 8})
	}
	if answer, err := queue.BatchSendMessage(batch...); err != nil || len(answer.Messages) != 16 {
		t.Fatalf("batch send: %v, %+v", err, answer)
	}
	replies, failures := make(chan mns.BatchMessageReceiveResponse, 1), make(chan error, 1)
	queue.BatchPeekMessage(replies, failures, 16)
	if peeked := <-replies; len(peeked.Messages) != 16 {
		t.Errorf("peeked %+v", peeked)
	}
	queue.BatchReceiveMessage(replies, failures, 16, 5)
	var handles []string
	for _, m := range (<-replies).Messages {
		handles = append(handles, m.ReceiptHandle)
	}
	if answer, err := queue.BatchDeleteMessage(handles...); err != nil || len(handles) != 16 {
		t.Fatalf("batch delete of %d: %v, %+v", len(handles), err, answer)
	}
	answer, err := queue.BatchDeleteMessage(handles[:2]...)
	isCode(err, mns.ERR_MNS_BATCH_OP_FAIL)
	if len(answer.FailedMessages) != 2 || answer.FailedMessages[1].ReceiptHandle != handles[1] {
		t.Errorf("deleted again: %+v", answer)
	}

	start := time.Now()
	queue.BatchReceiveMessage(replies, failures, 16, 1)
	isCode(<-failures, mns.ERR_MNS_MESSAGE_NOT_EXIST)
	if waited := time.Since(start); waited < time.Second {
		t.Errorf("an empty long poll of 1 s took %s", waited)
	}
	must(manager.DeleteQueue(testQueue))
	wrong := mns.NewMNSQueue(testQueue, mns.NewAliMNSClientWithConfig(mns.AliMNSClientConfig{
		EndPoint: c.endpoint + "/.", AccessKeyId: testKey, AccessKeySecret: "wrong",
	}))
	isCode(wrong.DeleteMessage("1-x"), mns.ERR_MNS_SIGNATURE_DOES_NOT_MATCH)
}

func queueError(_ mns.MessageSendResponse, err error) error { return err }

func receiveBySDK(t *testing.T, queue mns.AliMNSQueue) mns.MessageReceiveResponse {
	t.Helper()
	replies, failures := make(chan mns.MessageReceiveResponse, 1), make(chan error, 1)
	queue.ReceiveMessage(replies, failures, 5)
	select {
	case m := <-replies:
		return m
	case err := <-failures:
		t.Fatal(err)
		return mns.MessageReceiveResponse{}
	}
}
