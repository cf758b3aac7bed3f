# What is planned, with a provider that only knows the schema: no cloud, no credentials.

mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c", "eu-central-1d"] }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

variables {
  region        = "eu-central-1"
  bucket_prefix = "lab-granary"

  database_password = "0123456789abcdef0123456789abcdef"
  oidc              = [{ issuer = "https://lab.eu.auth0.com/", audiences = ["https://granary.example"], administrators = ["group:platform"] }]
}

# One plan for all that is as it comes: each takes seconds.
run "as_it_comes" {
  command = plan

  assert {
    condition     = toset([for bucket in aws_s3_bucket.this : bucket.bucket]) == toset(["lab-granary-raw", "lab-granary-processed", "lab-granary-jobs"])
    error_message = "Granary expects {prefix}-raw, -processed and -jobs."
  }

  assert {
    condition     = alltrue([for block in aws_s3_bucket_public_access_block.this : block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets]) && length(aws_s3_bucket_public_access_block.this) == 3
    error_message = "No bucket may be public."
  }

  assert {
    condition     = alltrue([for versioning in aws_s3_bucket_versioning.this : versioning.versioning_configuration[0].status == "Enabled"])
    error_message = "All buckets keep versions."
  }

  assert {
    condition     = aws_s3_bucket.this["raw"].object_lock_enabled && !aws_s3_bucket.this["jobs"].object_lock_enabled && length(aws_s3_bucket_object_lock_configuration.raw) == 0
    error_message = "The raw bucket can be locked, and is not until days are given."
  }

  assert {
    condition     = alltrue([for rule in aws_s3_bucket_server_side_encryption_configuration.this : one(one(rule.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms"])
    error_message = "Everything is encrypted by the key."
  }

  assert {
    condition     = toset([for statement in data.aws_iam_policy_document.bucket["raw"].statement : statement.sid if statement.effect == "Deny"]) == toset(["OnlyTls", "NothingInTheClear", "NothingIsWrittenOver"])
    error_message = "The policy refuses what is not TLS, and writes without a condition."
  }

  assert {
    condition     = aws_s3_bucket_notification.raw.eventbridge && can(regex("Object Created", aws_cloudwatch_event_rule.raw_objects.event_pattern))
    error_message = "The raw bucket tells what happens in it."
  }

  assert {
    condition     = length(aws_s3_bucket_cors_configuration.this) == 0
    error_message = "No page may read from another origin until it is named."
  }

  assert {
    condition = toset(flatten([for statement in data.aws_iam_policy_document.store.statement : statement.actions])) == toset([
      "s3:ListBucket", "s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject",
      "kms:Decrypt", "kms:GenerateDataKey",
    ])
    error_message = "No version is deleted, no lock bypassed, no bucket made."
  }

  assert {
    condition     = [for subnet in aws_subnet.private : subnet.cidr_block] == ["10.80.0.0/18", "10.80.64.0/18", "10.80.128.0/18"] && [for subnet in aws_subnet.public : subnet.cidr_block] == ["10.80.192.0/20", "10.80.208.0/20", "10.80.224.0/20"]
    error_message = "Three private subnets of a quarter each, three public ones."
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.nat) == 3
    error_message = "One NAT gateway serves three zones."
  }

  assert {
    condition     = aws_db_instance.this.multi_az && aws_db_instance.this.storage_encrypted && !aws_db_instance.this.publicly_accessible && aws_db_instance.this.deletion_protection && aws_db_instance.this.backup_retention_period == 14
    error_message = "Two zones, encrypted, private, protected, with backups."
  }

  assert {
    condition     = contains([for parameter in aws_db_parameter_group.this.parameter : "${parameter.name}=${parameter.value}"], "rds.force_ssl=1")
    error_message = "TLS is demanded."
  }

  assert {
    condition     = !aws_eks_cluster.this.vpc_config[0].endpoint_public_access && aws_eks_cluster.this.vpc_config[0].endpoint_private_access
    error_message = "No way in from outside until networks are named."
  }

  assert {
    condition     = aws_eks_addon.before_nodes["vpc-cni"].configuration_values == "{\"enableNetworkPolicy\":\"true\"}"
    error_message = "NetworkPolicies are enforced."
  }

  assert {
    condition     = alltrue([for template in aws_launch_template.node : template.metadata_options[0].http_tokens == "required" && template.metadata_options[0].http_put_response_hop_limit == 1])
    error_message = "Pods do not reach the credentials of their node."
  }

  assert {
    condition     = one(aws_eks_node_group.jobs.taint).key == "granary.dev/jobs" && aws_eks_node_group.jobs.scaling_config[0].min_size == 0
    error_message = "Nodes of jobs take nothing else, and may be none."
  }
}

run "with_more_of_it" {
  command = plan

  variables {
    raw_retention    = 30
    infrequent_after = 60
    nat_per_zone     = true
    cors_origins     = ["https://app.example"]
  }

  assert {
    condition     = one(one(aws_s3_bucket_object_lock_configuration.raw[0].rule).default_retention).mode == "GOVERNANCE" && one(one(aws_s3_bucket_object_lock_configuration.raw[0].rule).default_retention).days == 30
    error_message = "Versions in the raw bucket are held for 30 days."
  }

  assert {
    condition     = { for kind, lifecycle in aws_s3_bucket_lifecycle_configuration.this : kind => length(lifecycle.rule) } == { raw = 3, processed = 3, jobs = 2 }
    error_message = "Raw and processed objects move, those of jobs do not."
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 3
    error_message = "Each zone has its own."
  }

  assert {
    condition     = length(aws_s3_bucket_cors_configuration.this) == 3 && alltrue([for cors in aws_s3_bucket_cors_configuration.this : one(cors.cors_rule).allowed_origins == toset(["https://app.example"])])
    error_message = "The page that was named may read and write by presigned URLs."
  }
}

run "values_of_the_chart" {
  command = plan
  module { source = "./values" }
  variables {
    repository = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/granary/granary"
    public     = false
  }

  assert {
    condition     = yamldecode(output.yaml).objectStore.url == "s3://lab-granary?region=eu-central-1" && yamldecode(output.yaml).oidc[0].issuer == "https://lab.eu.auth0.com/"
    error_message = "The store is that of the region, the issuer the one that was given."
  }

  assert {
    condition     = yamldecode(output.yaml).envoy.service.annotations["service.beta.kubernetes.io/aws-load-balancer-internal"] == "true"
    error_message = "A load balancer that is not public is internal."
  }
}
