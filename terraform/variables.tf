variable "name" {
  description = "Name of the deployment: of its network, cluster and database, and the first part of others."
  type        = string
  default     = "granary"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,28}[a-z0-9]$", var.name))
    error_message = "3 to 30 of a-z, 0-9 and -, starting with a letter and not ending with -."
  }
}

variable "region" {
  description = "Region of everything, such as eu-central-1. It needs three availability zones."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "Expected a region such as eu-central-1."
  }
}

variable "tags" {
  description = "More tags of everything."
  type        = map(string)
  default     = {}
}

# Network

variable "network" {
  description = "Addresses of the VPC, which is split into three private subnets for nodes and database, and three public ones for load balancer and NAT."
  type        = string
  default     = "10.80.0.0/16"

  validation {
    condition     = can(cidrnetmask(var.network)) && try(tonumber(split("/", var.network)[1]), 0) >= 16 && try(tonumber(split("/", var.network)[1]), 99) <= 20
    error_message = "Expected an IPv4 network of /16 to /20: pods have addresses of the VPC."
  }
}

variable "nat_per_zone" {
  description = "Whether each zone has a NAT gateway. With one for all, nodes lose the way out (images, keys of issuers) when its zone is lost."
  type        = bool
  default     = false
}

# Buckets

variable "bucket_prefix" {
  description = "First part of the buckets' names, `{prefix}-raw`, `{prefix}-processed` and `{prefix}-jobs`. Names of buckets are taken worldwide."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,48}[a-z0-9]$", var.bucket_prefix))
    error_message = "3 to 50 of a-z, 0-9 and -, starting and ending with a letter or digit."
  }
}

variable "raw_retention" {
  description = "Days for which nobody can remove a version from the raw bucket without the right to bypass the lock (GOVERNANCE). 0 leaves it to versions alone. See README.md before setting it: it demands checksums of every write."
  type        = number
  default     = 0

  validation {
    condition     = var.raw_retention >= 0 && var.raw_retention <= 36500 && floor(var.raw_retention) == var.raw_retention
    error_message = "Expected 0 to 36500 whole days."
  }
}

variable "kept_versions" {
  description = "Days for which a version stays after it was replaced or deleted."
  type        = number
  default     = 90

  validation {
    condition     = var.kept_versions >= 1 && floor(var.kept_versions) == var.kept_versions
    error_message = "Expected 1 or more whole days."
  }
}

variable "infrequent_after" {
  description = "Days after which raw and processed objects of 128 KiB and more move to Standard-IA, which is cheaper to keep and dearer to read; 0 for never."
  type        = number
  default     = 0

  validation {
    condition     = var.infrequent_after == 0 || var.infrequent_after >= 30
    error_message = "S3 takes 30 days or more; 0 is never."
  }
}

variable "cors_origins" {
  description = "Pages that send and fetch files from a browser, such as https://app.example."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for origin in var.cors_origins : can(regex("^https://[^/*]+$", origin))])
    error_message = "Expected origins such as https://app.example, without a path or *."
  }
}

# Database

variable "database_class" {
  description = "Instance class of the database; docs/sizing.md says which."
  type        = string
  default     = "db.t4g.medium"

  validation {
    condition     = startswith(var.database_class, "db.")
    error_message = "Expected a class such as db.t4g.medium."
  }
}

variable "database_storage" {
  description = "GiB that the database starts with; it grows by itself to ten times as much."
  type        = number
  default     = 50

  validation {
    condition     = var.database_storage >= 20
    error_message = "gp3 starts at 20 GiB."
  }
}

variable "database_multi_az" {
  description = "Whether a second zone takes over when that of the database is lost."
  type        = bool
  default     = true
}

variable "database_password" {
  description = "Password of the database, by TF_VAR_database_password: needed the first time and where `database_password_version` was raised. It is written to the database and to Secrets Manager, and is in no plan and no state."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = var.database_password == null || can(regex("^[0-9A-Za-z]{24,128}$", var.database_password))
    error_message = "24 to 128 letters and digits, which a URL holds as they are: openssl rand -hex 24."
  }
}

variable "database_password_version" {
  description = "Raise it by one for a new password of the database."
  type        = number
  default     = 1

  validation {
    condition     = var.database_password_version >= 1 && floor(var.database_password_version) == var.database_password_version
    error_message = "Expected 1, then one more each time."
  }
}

variable "database_backups" {
  description = "Days for which the database can be put back to any second."
  type        = number
  default     = 14

  validation {
    condition     = var.database_backups >= 1 && var.database_backups <= 35
    error_message = "Expected 1 to 35 days."
  }
}

variable "protected" {
  description = "Whether the database refuses to be deleted, and leaves a last snapshot. Off for throw-away deployments."
  type        = bool
  default     = true
}

# Cluster

variable "kubernetes_version" {
  description = "Version of Kubernetes."
  type        = string
  default     = "1.34"

  validation {
    condition     = can(regex("^1\\.[0-9]{2}$", var.kubernetes_version))
    error_message = "Expected a version such as 1.34."
  }
}

variable "administrators" {
  description = "ARNs of IAM roles or users that administer the cluster, beside whoever makes it."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.administrators : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/.+$", arn))])
    error_message = "Expected ARNs of roles or users."
  }
}

variable "administrators_from" {
  description = "Networks from which the cluster's API is reached from outside; from the VPC alone if empty."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for network in var.administrators_from : can(cidrnetmask(network)) && network != "0.0.0.0/0"])
    error_message = "Expected IPv4 networks, and not the whole world."
  }
}

variable "nodes" {
  description = "Nodes of the services: class and number; docs/sizing.md says which. Three is one for each zone."
  type        = object({ class = string, count = number, most = number })
  default     = { class = "t3.medium", count = 3, most = 6 }

  validation {
    condition     = var.nodes.count >= 2 && var.nodes.most >= var.nodes.count
    error_message = "Two nodes at least, and no more than `most`."
  }
}

variable "job_nodes" {
  description = "Nodes of jobs, which take nothing else: classes, number and disk in GiB. A cluster autoscaler may change the number."
  type        = object({ classes = list(string), count = number, most = number, disk = number })
  default     = { classes = ["m6i.xlarge"], count = 1, most = 4, disk = 100 }

  validation {
    condition     = length(var.job_nodes.classes) > 0 && var.job_nodes.count >= 0 && var.job_nodes.most >= max(1, var.job_nodes.count) && var.job_nodes.disk >= 20
    error_message = "One class at least, no more nodes than `most`, 20 GiB of disk or more."
  }
}

# Granary

variable "oidc" {
  description = "Issuers whose tokens count, as the chart's value `oidc`: a list with `issuer`, `audiences` and the rest."
  type        = any

  validation {
    condition     = can(length(var.oidc)) && try(length(var.oidc) > 0 && alltrue([for issuer in var.oidc : startswith(issuer.issuer, "https://") && length(issuer.audiences) > 0]), false)
    error_message = "Expected one issuer or more, each with an https:// `issuer` and `audiences`."
  }
}

variable "image_tag" {
  description = "Tag of Granary's image in the registry that is made; the chart's appVersion if empty."
  type        = string
  default     = ""
}

variable "public" {
  description = "Whether the load balancer is reached from the internet; from the VPC alone if not."
  type        = bool
  default     = true
}

variable "clients_from" {
  description = "Networks that may call, as the ingress's `allow`; all if empty."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for network in var.clients_from : can(cidrhost(network, 0))])
    error_message = "Expected networks such as 203.0.113.0/24."
  }
}

variable "tls_secret" {
  description = "Name of the Kubernetes Secret with certificate and key of the ingress, as cert-manager makes it."
  type        = string
  default     = "granary-tls"
}

variable "autoscaling" {
  description = "Whether the number of pods follows their load."
  type        = bool
  default     = true
}
