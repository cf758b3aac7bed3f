# The three buckets that Granary expects. It finds them there, and would make them without any of this.

locals {
  buckets = toset(["raw", "processed", "jobs"])
  tiered  = var.infrequent_after > 0 ? toset(["raw", "processed"]) : toset([])
}

resource "aws_s3_bucket" "this" {
  for_each = local.buckets
  bucket   = "${var.bucket_prefix}-${each.key}"
  # It can be turned on later, but never off.
  object_lock_enabled = each.key == "raw"

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_object_lock_configuration" "raw" {
  count  = var.raw_retention > 0 ? 1 : 0
  bucket = aws_s3_bucket.this["raw"].id

  rule {
    default_retention {
      # Whoever may bypass it can still do what the law demands; nobody could with COMPLIANCE.
      mode = "GOVERNANCE"
      days = var.raw_retention
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id

  rule {
    # One call to KMS for many objects instead of one for each.
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.data.arn
    }
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each                = aws_s3_bucket.this
  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

data "aws_iam_policy_document" "bucket" {
  for_each = aws_s3_bucket.this

  statement {
    sid       = "OnlyTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [each.value.arn, "${each.value.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "NumericLessThan"
      variable = "s3:TlsVersion"
      values   = ["1.2"]
    }
  }

  statement {
    sid       = "NothingInTheClear"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [each.value.arn, "${each.value.arn}/*"]

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

  # Every write of Granary says what it expects under the key: nothing (files), or the version that it has seen (manifests). Requests that make
  # no object, such as those of parts, have no such condition.
  statement {
    sid       = "NothingIsWrittenOver"
    effect    = "Deny"
    actions   = ["s3:PutObject"]
    resources = ["${each.value.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Null"
      variable = "s3:if-none-match"
      values   = ["true"]
    }

    condition {
      test     = "Null"
      variable = "s3:if-match"
      values   = ["true"]
    }

    condition {
      test     = "Bool"
      variable = "s3:ObjectCreationOperation"
      values   = ["true"]
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id
  policy   = data.aws_iam_policy_document.bucket[each.key].json

  depends_on = [aws_s3_bucket_public_access_block.this]
}

# Browsers send and fetch by presigned URLs; these are the headers that are signed.
resource "aws_s3_bucket_cors_configuration" "this" {
  for_each = length(var.cors_origins) > 0 ? aws_s3_bucket.this : {}
  bucket   = each.value.id

  cors_rule {
    allowed_methods = ["GET", "HEAD", "PUT"]
    allowed_origins = var.cors_origins
    allowed_headers = ["content-type", "if-none-match", "range", "x-amz-checksum-crc32c", "x-amz-checksum-sha256"]
    expose_headers  = ["ETag", "Content-Range"]
    max_age_seconds = 3600
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id

  # Granary drops parts that nobody went on with after a week; this is for those that it does not know of.
  rule {
    id     = "parts"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 8
    }
  }

  rule {
    id     = "versions"
    status = "Enabled"

    filter {}

    # What is locked stays until its lock ends.
    noncurrent_version_expiration {
      noncurrent_days = var.kept_versions
    }

    expiration {
      expired_object_delete_marker = true
    }
  }

  dynamic "rule" {
    for_each = contains(local.tiered, each.key) ? ["infrequent"] : []

    content {
      id     = rule.value
      status = "Enabled"

      filter {
        object_size_greater_than = 131071
      }

      # No class that has to be thawed first: a presigned GET answers at once.
      transition {
        days          = var.infrequent_after
        storage_class = "STANDARD_IA"
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}
