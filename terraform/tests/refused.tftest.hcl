# Mistakes that are seen before anything is made.

mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
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
  oidc              = [{ issuer = "https://lab.eu.auth0.com/", audiences = ["granary"] }]
}

run "each_on_its_own" {
  command = plan

  variables {
    name                = "My Lab"
    region              = "Frankfurt"
    bucket_prefix       = "Lab_Granary"
    network             = "10.0.0.0/24"
    oidc                = []
    cors_origins        = ["*"]
    administrators_from = ["0.0.0.0/0"]
    administrators      = ["ada"]
    infrequent_after    = 7
    nodes               = { class = "t3.large", count = 4, most = 3 }
    database_password   = "a password: with @ and /, and long enough"
    database_backups    = 60
  }

  expect_failures = [
    var.name,
    var.region,
    var.bucket_prefix,
    var.network,
    var.oidc,
    var.cors_origins,
    var.administrators_from,
    var.administrators,
    var.infrequent_after,
    var.nodes,
    var.database_password,
    var.database_backups,
  ]
}

run "an_issuer_in_the_clear" {
  command = plan

  variables {
    oidc = [{ issuer = "http://id.example", audiences = ["granary"] }]
  }

  expect_failures = [var.oidc]
}
