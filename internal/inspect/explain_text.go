package inspect

import (
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/payment"
)

// text is a sentence in each language. {order}, {amount}, {device}, {waybill}, {reason}, {job}, {kind}, {tries}, {next} and
// {since} are filled in.
type text struct{ en, zh string }

// explanations are all texts of Explain: by outcome, by kind and outcome where a kind has its own text, and by the names
// that openText and doneText use. Each says where the order is, why, and what to do.
var explanations = map[string]text{
	// There is no open job.
	"nothing": {
		"Neither an order nor a payment with the number {order} is known here: check the number; if JD says that it was paid, ask JD to send the notification again.",
		"这里没有订单 {order}，也没有收到它的支付通知：请核对订单号；如果京东显示已支付，请京东重新推送通知。",
	},
	"unreadable": {
		"Order {order} cannot be read ({reason}). Repair that first; payments wait meanwhile and are settled afterwards.",
		"无法读取订单 {order}（{reason}）。请先修复，期间收到的支付会保留，修复后自动入账。",
	},
	"unpaid": {
		"Order {order} of {amount} yuan is not paid: no genuine notification of it has arrived. If the customer has paid, look for its message with `jobs list --state rejected` and `jobs list --state parked`, and ask JD to send it again.",
		"订单 {order}（{amount} 元）尚未支付：没有收到有效的支付通知。如果客户已付款，请用 `jobs list --state rejected` 和 `jobs list --state parked` 查找它的消息，并请京东重新推送。",
	},
	string(payment.Settled): {
		"Order {order} is paid with {amount} yuan and everything is done: cabinet {device} was told to open, JD knows, and the pay info is written. Nothing to do.",
		"订单 {order} 已支付 {amount} 元，全部完成：已通知柜机 {device} 开门，已告知京东，支付信息已写入。无需处理。",
	},
	string(payment.Confirmed): {
		"Order {order} is paid with {amount} yuan and everything is done: cabinet {device} says that it opened, JD knows, and the pay info is written. Nothing to do.",
		"订单 {order} 已支付 {amount} 元，全部完成：柜机 {device} 已确认开门，已告知京东，支付信息已写入。无需处理。",
	},
	string(payment.Duplicate): {
		"Order {order} is paid, but its settlement is not in the job table: it was purged long ago, or another program marked the order paid. Copies of its notification are ignored. If the cabinet did not open, open it another way.",
		"订单 {order} 已支付，但任务表中没有它的入账记录：可能早已被清理，或由其他程序标记为已支付。重复的通知会被忽略。如果柜机没有打开，请用其他方式开门。",
	},
	string(job.Discarded): {
		"A part of order {order}'s work was discarded by a person and will not be done: see `trace {order}`; `jobs retry --replay` does it after all.",
		"订单 {order} 的部分任务已被人工放弃，不会再执行：请看 `trace {order}`；如仍需执行，请用 `jobs retry --replay`。",
	},
	"discarded payment": {
		"Order {order} is not paid: a person discarded its payment (job {job}), and nothing was settled. If the customer has paid and it is not refunded, `jobs retry --replay {job}` settles it; `trace {order}` says who discarded it and why.",
		"订单 {order} 未支付：它的支付通知（任务 {job}）已被人工放弃，没有入账。如果客户已付款且尚未退款，请执行 `jobs retry --replay {job}` 重新入账；`trace {order}` 可查看由谁、因何放弃。",
	},
	"discarded without order": {
		"A person discarded the payment of {order} (job {job}): nothing was settled, and there is no such order. When the order exists, `jobs retry --replay {job}` settles the payment; `trace {order}` says who discarded it and why.",
		"{order} 的支付通知（任务 {job}）已被人工放弃：没有入账，也没有这个订单。订单补上之后可执行 `jobs retry --replay {job}` 入账；`trace {order}` 可查看由谁、因何放弃。",
	},
	"discarded and purged": {
		"A person discarded the payment of {order}: nothing was settled, and its notification was deleted since, as old jobs are. `trace {order}` says who discarded it and why. If the customer has paid and it is not refunded, ask JD to send the notification again.",
		"{order} 的支付通知已被人工放弃，没有入账；通知已过保留期，现已删除。`trace {order}` 可查看由谁、因何放弃。如果客户已付款且尚未退款，请京东重新推送通知。",
	},
	"not marked paid": {
		"A payment for order {order} was settled here, but the order is not marked paid: somebody changed or removed its row afterwards. See `trace {order}` and `audit`, and correct the row.",
		"订单 {order} 的支付已在这里入账，但订单没有标记为已支付：该行之后可能被修改或删除。请看 `trace {order}` 和 `audit`，并更正该行。",
	},
	"unread": {
		"{tries} received messages have not been decoded yet, and one of them may be the payment: run `doctor` if that number does not fall.",
		"还有 {tries} 条已收到的消息尚未处理，可能包括这个订单的通知：如果数量不下降，请运行 `doctor`。",
	},
	"main database unread": {
		"Its cabinet and waybill are not known at the moment, because the main database cannot be read ({reason}): run `doctor`.",
		"目前无法得知该订单的柜机和运单，因为主数据库无法读取（{reason}）：请运行 `doctor`。",
	},
	"more": {
		"There is more ({tries}): see `trace {order}`.",
		"另外还有 {tries} 项：请看 `trace {order}`。",
	},

	// The work is in progress.
	"soon settle": {
		"A notification for order {order} was received just now and is being settled. Nothing to do.",
		"刚收到订单 {order} 的通知，正在入账。无需处理。",
	},
	"soon reply": {
		"A message on the reply queue about order {order} was received just now and is being handled. Nothing to do.",
		"刚收到与订单 {order} 有关的回复消息，正在处理。无需处理。",
	},
	"soon pay-complete": {
		"Order {order} is paid; the command to cabinet {device} is being sent. Nothing to do.",
		"订单 {order} 已支付，正在向柜机 {device} 发送开门命令。无需处理。",
	},
	"soon waybill-status": {
		"Order {order} is paid; JD is being told about waybill {waybill}. Nothing to do.",
		"订单 {order} 已支付，正在告知京东运单 {waybill}。无需处理。",
	},
	"soon pay-info": {
		"Order {order} is paid; the pay info is being written. Nothing to do.",
		"订单 {order} 已支付，正在写入支付信息。无需处理。",
	},
	"open": {
		"Order {order} has work that is not done: job {job} of kind {kind}, due at {next}. If it does not become done, see `jobs show {job}`.",
		"订单 {order} 还有未完成的任务：任务 {job}（{kind}），将在 {next} 执行。如一直如此，请看 `jobs show {job}`。",
	},
	"waiting": {
		"Order {order} is paid and cabinet {device} has been sent the command {tries} times, but has not replied yet; the command is sent again at {next}. If the customer waits there, check the cabinet's connection.",
		"订单 {order} 已支付，已向柜机 {device} 发送 {tries} 次命令，但还没有回复；将在 {next} 重发。如果客户在现场等待，请检查柜机的网络连接。",
	},

	// The kind is paused, or no daemon works on it.
	"paused settle": {
		"A notification for order {order} has been received and not settled since {since}: no daemon works on it, or the account database is down. Run `doctor`; the payment is settled as soon as the cause is repaired.",
		"已收到订单 {order} 的通知，但自 {since} 起尚未入账：没有程序在处理，或账务数据库不可用。请运行 `doctor`；恢复后会自动入账。",
	},
	"paused reply": {
		"A message on the reply queue about order {order} has been received and not handled since {since}: no daemon works on it, or the account database is down. Run `doctor`; it continues as soon as the cause is repaired.",
		"已收到与订单 {order} 有关的回复消息，但自 {since} 起尚未处理：没有程序在处理，或账务数据库不可用。请运行 `doctor`；恢复后会自动处理。",
	},
	"paused pay-complete": {
		"Order {order} is paid, but cabinet {device} has not been told since {since}: no daemon works on it, or the MQTT broker or the main database is down. Run `doctor`; the door opens as soon as the cause is repaired, if the command is still valid then.",
		"订单 {order} 已支付，但自 {since} 起仍未能通知柜机 {device}：没有程序在处理，或 MQTT 服务器、主数据库不可用。请运行 `doctor`；如仍在有效时间内，恢复后会自动开门。",
	},
	"paused waybill-status": {
		"Order {order} is paid, but JD has not been told about waybill {waybill} since {since}: no daemon works on it, or JD or the main database is down. Run `doctor`; it continues as soon as the cause is repaired.",
		"订单 {order} 已支付，但自 {since} 起仍未能告知京东运单 {waybill}：没有程序在处理，或京东、主数据库不可用。请运行 `doctor`；恢复后会自动继续。",
	},
	"paused pay-info": {
		"Order {order} is paid, but its pay info has not been written since {since}: no daemon works on it, or the main database is down. Run `doctor`; it continues as soon as the cause is repaired.",
		"订单 {order} 已支付，但自 {since} 起仍未写入支付信息：没有程序在处理，或主数据库不可用。请运行 `doctor`；恢复后会自动继续。",
	},

	// A try failed; there will be another.
	"order awaited": {
		"A payment for {order} has arrived, but there is no such order yet; the next try is at {next}. Find out why the order was not written.",
		"已收到 {order} 的支付，但还没有这个订单；将在 {next} 再次查找。请查明订单为何没有写入。",
	},
	"again settle": {
		"A message about order {order} could not be handled ({reason}); it is tried again at {next}. Usually the account database is the cause.",
		"与订单 {order} 有关的消息未能处理（{reason}），将在 {next} 重试。通常是账务数据库的问题。",
	},
	"row missing": {
		"Order {order} is paid, but its step {kind} cannot be done after {tries} tries because the main database lacks a row ({reason}); it is tried again at {next}. Find out why the row was not written.",
		"订单 {order} 已支付，但主数据库缺少数据行（{reason}），步骤 {kind} 尝试 {tries} 次后仍未完成，将在 {next} 重试。请查明该行为何没有写入。",
	},
	"again pay-complete": {
		"Order {order} is paid, but cabinet {device} could not be told after {tries} tries ({reason}); it is tried again at {next}. If the customer waits there, check the broker and the row that the reason names.",
		"订单 {order} 已支付，但尝试 {tries} 次后仍未能通知柜机 {device}（{reason}），将在 {next} 重试。如果客户在现场等待，请检查 MQTT 服务器以及原因中提到的数据行。",
	},
	"again waybill-status": {
		"Order {order} is paid, but JD has not taken waybill {waybill} after {tries} tries ({reason}); it is tried again at {next}. Nothing to do unless it keeps failing.",
		"订单 {order} 已支付，但尝试 {tries} 次后京东仍未接受运单 {waybill}（{reason}），将在 {next} 重试。如很快恢复，无需处理。",
	},
	"again pay-info": {
		"Order {order} is paid, but the pay info could not be written after {tries} tries ({reason}); it is tried again at {next}. Usually the main database is the cause.",
		"订单 {order} 已支付，但尝试 {tries} 次后仍未写入支付信息（{reason}），将在 {next} 重试。通常是主数据库的问题。",
	},

	// The job needs a person.
	string(payment.PaidTwice): {
		"Order {order} was paid a second time and the second payment is not settled ({reason}). Refund it with JD, unless JD says that it is the same payment; then `jobs discard {job}`.",
		"订单 {order} 被重复支付，第二笔没有入账（{reason}）。请通过京东退款（若京东确认是同一笔支付则不必），然后执行 `jobs discard {job}`。",
	},
	string(payment.AmountMismatch): {
		"A payment for order {order} is not settled because its amount is wrong ({reason}). Correct the order and `jobs retry {job}`, or refund it and `jobs discard {job}`.",
		"订单 {order} 的支付因金额不符没有入账（{reason}）。请更正订单后执行 `jobs retry {job}`，或退款后执行 `jobs discard {job}`。",
	},
	"no amount": {
		"A payment for order {order} is not settled, because the order has no amount to compare it with ({reason}). Write the order's amount, 0.00 if it is free of charge, and `jobs retry {job}`; or resolve the payment with JD and `jobs discard {job}`.",
		"订单 {order} 的支付没有入账，因为订单没有金额，无法核对（{reason}）。请补上订单金额（免费订单填 0.00）后执行 `jobs retry {job}`；或与京东核实后执行 `jobs discard {job}`。",
	},
	string(payment.UnknownOrder): {
		"A payment for {order} is not settled because there is no such order. Find out why it was not written; when it exists, `jobs retry {job}`.",
		"{order} 的支付没有入账，因为没有这个订单。请查明订单为何没有写入，补上之后执行 `jobs retry {job}`。",
	},
	string(payment.BadExternalID): {
		"A payment for order {order} is not settled because the database cannot hold JD's trade number exactly ({reason}). Correct the column, then `jobs retry {job}`.",
		"订单 {order} 的支付没有入账，因为数据库无法准确保存京东的交易号（{reason}）。请更正该列，然后执行 `jobs retry {job}`。",
	},
	string(payment.NotStorable): {
		"A message was refused by the database and only a part of it is stored ({reason}). See `jobs show {job}`, correct the database (max_allowed_packet, column args of jdpay_job), ask JD to send it again, then `jobs discard {job}`.",
		"数据库拒绝了一条消息，只保存了其中一部分（{reason}）。请看 `jobs show {job}`，修正数据库（max_allowed_packet、jdpay_job 的 args 列），请京东重发，然后执行 `jobs discard {job}`。",
	},
	string(payment.StepsExist): {
		"A payment for order {order} is not settled: the order is not marked paid, but has steps of an earlier payment ({reason}). Find out who set the order back. If it is to be paid by this payment, mark the order paid by hand, have its steps carried out again with `jobs retry --replay`, and `jobs discard {job}`; else refund it with JD and `jobs discard {job}`.",
		"订单 {order} 的支付没有入账：订单未标记为已支付，却已有上一次支付的步骤（{reason}）。请查明是谁改回了订单。如应由这笔支付付清，请手工将订单标记为已支付，用 `jobs retry --replay` 重新执行其步骤，然后执行 `jobs discard {job}`；否则通过京东退款后执行 `jobs discard {job}`。",
	},
	string(payment.NotSuccess): {
		"JD reports about order {order} something other than a successful payment, and nothing was settled ({reason}). Ask JD if that is right, then `jobs discard {job}`.",
		"京东就订单 {order} 发来的不是支付成功的消息，没有入账（{reason}）。请向京东核实，然后执行 `jobs discard {job}`。",
	},
	string(payment.BadSignature): {
		"A message about order {order} was refused because its signature is wrong: it is forged, or the key or the profile is. See `jobs show {job}`, and `verify` for the profile that would match.",
		"与订单 {order} 有关的消息因签名错误被拒绝：可能是伪造，或密钥、签名方式配置有误。请看 `jobs show {job}`，并用 `verify` 查找匹配的签名方式。",
	},
	string(payment.Malformed): {
		"A message about order {order} that no key of ours signed was refused because it cannot be read ({reason}). See `jobs show {job}` and ask its sender.",
		"与订单 {order} 有关的消息没有有效签名，也无法解析，已被拒绝（{reason}）。请看 `jobs show {job}` 并联系发送方。",
	},
	"signed malformed": {
		"A message about order {order} has a right signature and cannot be booked, because it cannot be read ({reason}): the customer has probably paid. See `jobs show {job}`, ask JD, and settle the payment another way; `jobs retry {job}` reads it again, `jobs discard {job}` when it is clear.",
		"与订单 {order} 有关的消息签名有效，但无法解析，没有入账（{reason}）：客户很可能已付款。请看 `jobs show {job}`，与京东核实并以其他方式处理；`jobs retry {job}` 重新读取，处理完毕后执行 `jobs discard {job}`。",
	},
	"signed malformed without order": {
		"A message with a right signature names no order and cannot be booked, because it cannot be read ({reason}): a customer has probably paid. See `jobs show {job}`, ask JD, and settle the payment another way; `jobs retry {job}` reads it again, `jobs discard {job}` when it is clear.",
		"收到一条签名有效但无法解析、也看不出订单的消息，没有入账（{reason}）：很可能有客户已付款。请看 `jobs show {job}`，与京东核实并以其他方式处理；`jobs retry {job}` 重新读取，处理完毕后执行 `jobs discard {job}`。",
	},
	string(payment.Expired): {
		"Order {order} is paid, but cabinet {device} did not open in time and the command is not sent any more, because the customer will have left ({reason}). Call the customer; `jobs retry {job}` opens the door now.",
		"订单 {order} 已支付，但柜机 {device} 没有及时打开，客户应已离开，不再发送命令（{reason}）。请联系客户；如需现在开门，请执行 `jobs retry {job}`。",
	},
	payment.KindPayComplete + " " + string(payment.Refused): {
		"Order {order} is paid, but cabinet {device} did not open ({reason}). Check the cabinet, then `jobs retry {job}` sends the command again.",
		"订单 {order} 已支付，但柜机 {device} 没有打开（{reason}）。请检查柜机，然后执行 `jobs retry {job}` 重发命令。",
	},
	payment.KindWaybillStatus + " " + string(payment.Refused): {
		"Order {order} is paid, but JD refuses the status of waybill {waybill} ({reason}). Resolve it with JD or correct the configuration, then `jobs retry {job}`.",
		"订单 {order} 已支付，但京东拒绝运单 {waybill} 的状态（{reason}）。请与京东核实或更正配置，然后执行 `jobs retry {job}`。",
	},
	string(payment.Refused): {
		"A step of order {order} was refused ({reason}). Repair the cause, then `jobs retry {job}`.",
		"订单 {order} 的一个步骤被拒绝（{reason}）。请排除原因，然后执行 `jobs retry {job}`。",
	},
	string(payment.BadDevice): {
		"Order {order} is paid, but its cabinet's serial makes no valid MQTT topic, or the broker refuses the command ({reason}). Correct kernel_device_group.device_sn or the broker's permissions, then `jobs retry {job}`.",
		"订单 {order} 已支付，但柜机的编号无法构成 MQTT 主题，或 MQTT 服务器拒绝该命令（{reason}）。请更正 kernel_device_group.device_sn 或 MQTT 服务器的权限，然后执行 `jobs retry {job}`。",
	},
	"abandoned": {
		"A part of order {order}'s work failed {tries} times and was given up ({reason}). Repair the cause, then `jobs retry {job}`.",
		"订单 {order} 的一项任务尝试 {tries} 次均失败，已放弃（{reason}）。请排除原因，然后执行 `jobs retry {job}`。",
	},
	string(job.Crashed): {
		"The process ended each time it ran a job of order {order}, six times in a row, so the job is not run any more ({reason}). See the logs of these moments and report it; `jobs retry {job}` runs it again.",
		"每次执行订单 {order} 的这个任务时进程都退出，已连续六次，因此不再执行（{reason}）。请查看当时的日志并上报；执行 `jobs retry {job}` 可再次运行。",
	},
	"malformed_args": {
		"A job of order {order} cannot be read ({reason}): somebody edited it, or another version wrote it. See `jobs show {job}`.",
		"订单 {order} 的一个任务无法读取（{reason}）：可能被人修改，或由其他版本写入。请看 `jobs show {job}`。",
	},
	"parked": {
		"A job of order {order} needs a person ({reason}). See `jobs show {job}`.",
		"订单 {order} 的一个任务需要人工处理（{reason}）。请看 `jobs show {job}`。",
	},
}
