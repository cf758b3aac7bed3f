# Granary's own image. A tag that was pushed stays what it is.
resource "aws_ecr_repository" "granary" {
  name                 = "${var.name}/granary"
  image_tag_mutability = "IMMUTABLE"
  force_delete         = !var.protected

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = aws_kms_key.data.arn
  }
}
