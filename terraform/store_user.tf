# Who signs for the buckets. Granary signs with an access key (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) and cannot take the passing credentials
# of a role yet, so this is a user, and its key is made apart from here: Terraform never sees it. README.md says how.

resource "aws_iam_user" "store" {
  name = "${var.name}-store"
  # A key that was made by hand goes with it.
  force_destroy = true
}

data "aws_iam_policy_document" "store" {
  # HEAD of a bucket; and HEAD of an object that is not there is 404 only with it, 403 otherwise. Listing is for `granary admin reindex`.
  statement {
    sid       = "Look"
    actions   = ["s3:ListBucket"]
    resources = [for bucket in aws_s3_bucket.this : bucket.arn]
  }

  # Storage: PUT, CopyObject and all that makes a multipart upload are PutObject; what is not what was declared is deleted, which leaves the
  # version. Pipeline reads only. No version is ever deleted, no lock bypassed, no bucket made or changed.
  statement {
    sid = "ReadAndWrite"
    actions = [
      "s3:AbortMultipartUpload",
      "s3:DeleteObject",
      "s3:GetObject",
      "s3:ListMultipartUploadParts",
      "s3:PutObject",
    ]
    resources = [for bucket in aws_s3_bucket.this : "${bucket.arn}/*"]
  }

  statement {
    sid       = "Encrypted"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.data.arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.region}.amazonaws.com"]
    }
  }
}

resource "aws_iam_user_policy" "store" {
  name   = "buckets"
  user   = aws_iam_user.store.name
  policy = data.aws_iam_policy_document.store.json
}

resource "aws_secretsmanager_secret" "store" {
  name        = "${var.name}/store"
  description = "Access key of ${var.name}-store, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
  kms_key_id  = aws_kms_key.data.arn
}
