# What happens in the raw bucket is told to EventBridge, and waits in a queue for whoever wants each object. Granary itself does not need it: it
# knows of objects by what their senders confirm. Of the other buckets nothing is told, as each event may cost.

resource "aws_s3_bucket_notification" "raw" {
  bucket      = aws_s3_bucket.this["raw"].id
  eventbridge = true
}

resource "aws_sqs_queue" "raw_objects_dead" {
  name                      = "${var.name}-raw-objects-dead"
  sqs_managed_sse_enabled   = true
  message_retention_seconds = 14 * 86400
}

resource "aws_sqs_queue" "raw_objects" {
  name                       = "${var.name}-raw-objects"
  sqs_managed_sse_enabled    = true
  message_retention_seconds  = 4 * 86400
  visibility_timeout_seconds = 120
  receive_wait_time_seconds  = 20

  redrive_policy = jsonencode({ deadLetterTargetArn = aws_sqs_queue.raw_objects_dead.arn, maxReceiveCount = 5 })
}

resource "aws_cloudwatch_event_rule" "raw_objects" {
  name        = "${var.name}-raw-objects"
  description = "Objects made in, or removed from, the raw bucket"

  event_pattern = jsonencode({
    source      = ["aws.s3"]
    detail-type = ["Object Created", "Object Deleted"]
    detail      = { bucket = { name = [aws_s3_bucket.this["raw"].bucket] } }
  })
}

resource "aws_cloudwatch_event_target" "raw_objects" {
  rule = aws_cloudwatch_event_rule.raw_objects.name
  arn  = aws_sqs_queue.raw_objects.arn

  dead_letter_config {
    arn = aws_sqs_queue.raw_objects_dead.arn
  }
}

data "aws_iam_policy_document" "raw_objects" {
  for_each = { queue = aws_sqs_queue.raw_objects.arn, dead = aws_sqs_queue.raw_objects_dead.arn }

  statement {
    sid       = "FromTheRule"
    actions   = ["sqs:SendMessage"]
    resources = [each.value]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_cloudwatch_event_rule.raw_objects.arn]
    }
  }

  statement {
    sid       = "OnlyTls"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [each.value]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_sqs_queue_policy" "raw_objects" {
  for_each  = { queue = aws_sqs_queue.raw_objects.id, dead = aws_sqs_queue.raw_objects_dead.id }
  queue_url = each.value
  policy    = data.aws_iam_policy_document.raw_objects[each.key].json
}
