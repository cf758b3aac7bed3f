# One key for what is at rest: buckets, database, secrets, and the secrets within the cluster.
resource "aws_kms_key" "data" {
  description             = "Granary ${var.name}: data at rest"
  enable_key_rotation     = true
  deletion_window_in_days = 30
}

resource "aws_kms_alias" "data" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.data.key_id
}
