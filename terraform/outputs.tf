module "values" {
  source        = "./values"
  repository    = aws_ecr_repository.granary.repository_url
  image_tag     = var.image_tag
  region        = var.region
  bucket_prefix = var.bucket_prefix
  oidc          = var.oidc
  public        = var.public
  clients_from  = var.clients_from
  cors_origins  = var.cors_origins
  tls_secret    = var.tls_secret
  autoscaling   = var.autoscaling
}

output "values" {
  description = "Values of the chart: terraform output -raw values > values.yaml"
  value       = module.values.yaml
}

output "cluster" {
  description = "Name of the cluster: aws eks update-kubeconfig --name NAME"
  value       = aws_eks_cluster.this.name
}

output "registry" {
  description = "Where Granary's image goes."
  value       = aws_ecr_repository.granary.repository_url
}

output "buckets" {
  description = "Names of the buckets."
  value       = { for kind, bucket in aws_s3_bucket.this : kind => bucket.id }
}

output "store_user" {
  description = "The user whose access key signs for the buckets."
  value       = aws_iam_user.store.name
}

output "secrets" {
  description = "Where the URL of the database and the access key are, in Secrets Manager."
  value       = { database = aws_secretsmanager_secret.database.name, store = aws_secretsmanager_secret.store.name }
}

output "raw_objects_queue" {
  description = "The queue that tells of each new raw object."
  value       = aws_sqs_queue.raw_objects.url
}
