terraform {
  # Passwords that are written and never kept (`_wo`) need 1.11, of Terraform or OpenTofu.
  required_version = ">= 1.11, < 2.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = merge({ application = "granary", deployment = var.name }, var.tags)
  }
}
