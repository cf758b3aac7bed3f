# The values of the chart, made of nothing but what is said here: no provider, no state of its own, so that it can be tried anywhere.

terraform {
  required_version = ">= 1.11, < 2.0"
}

variable "repository" {
  description = "Granary's image, without a tag."
  type        = string
}

variable "image_tag" {
  description = "Its tag; the chart's appVersion if empty."
  type        = string
  default     = ""
}

variable "region" {
  description = "Region of the buckets."
  type        = string
}

variable "bucket_prefix" {
  description = "First part of the buckets' names."
  type        = string
}

variable "oidc" {
  description = "Issuers, as the chart takes them."
  type        = any
}

variable "public" {
  description = "Whether the load balancer is reached from the internet."
  type        = bool
  default     = true
}

variable "clients_from" {
  description = "Networks that may call; all if empty."
  type        = list(string)
  default     = []
}

variable "cors_origins" {
  description = "Pages that may call from a browser."
  type        = list(string)
  default     = []
}

variable "tls_secret" {
  description = "The Secret with certificate and key of the ingress."
  type        = string
  default     = "granary-tls"
}

variable "autoscaling" {
  description = "Whether the number of pods follows their load."
  type        = bool
  default     = true
}

locals {
  values = {
    image = { repository = var.repository, tag = var.image_tag }
    oidc  = var.oidc

    # The load balancer passes connections on as they are, so that addresses are those of callers: no proxy in front is believed.
    ingress = { trusted_hops = 0, allow = var.clients_from, cors_origins = var.cors_origins }

    database = { existingSecret = "granary-database", key = "url" }
    # The region is what requests are signed for; the endpoint follows from it.
    objectStore = { url = "s3://${var.bucket_prefix}?region=${var.region}", existingSecret = "granary-store" }

    serviceDefaults = {
      replicas     = 2
      autoscaling  = { enabled = var.autoscaling, minReplicas = 2 }
      nodeSelector = { pool = "services" }
    }

    envoy = {
      replicas     = 2
      autoscaling  = { enabled = var.autoscaling, minReplicas = 2 }
      nodeSelector = { pool = "services" }
      tls          = { secretName = var.tls_secret }
      service = {
        type                  = "LoadBalancer"
        externalTrafficPolicy = "Local"
        annotations = merge(
          { "service.beta.kubernetes.io/aws-load-balancer-type" = "nlb" },
          var.public ? {} : { "service.beta.kubernetes.io/aws-load-balancer-internal" = "true" },
        )
      }
    }

    jobs = {
      profiles = {
        cpu = {
          node_selector = { pool = "jobs" }
          tolerations   = [{ key = "granary.dev/jobs", operator = "Exists", effect = "NoSchedule" }]
        }
      }
    }
  }
}

output "yaml" {
  description = "The values as YAML."
  value       = yamlencode(local.values)
}
