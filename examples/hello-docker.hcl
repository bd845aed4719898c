# The same service in containers. The image is made from the steppe binary by
#
#   make demo-image
#
# which needs Docker, but no network.
variable "version" {
  type    = string
  default = "1"
}

variable "image" {
  type    = string
  default = "steppe-demo:local"
}

variable "load" {
  type        = string
  default     = ""
  description = "A local image tar to load before the start; empty when the engine has the image."
}

job "hello-docker" {
  type = "service"

  group "web" {
    count = 3

    network {
      port "http" {}
    }

    service {
      name     = "hello-docker"
      port     = "http"
      provider = "nomad"

      check {
        type     = "http"
        path     = "/health"
        interval = "2s"
        timeout  = "1s"

        check_restart {
          limit = 3
          grace = "5s"
        }
      }
    }

    update {
      max_parallel     = 1
      min_healthy_time = "5s"
      healthy_deadline = "1m"
    }

    task "web" {
      driver = "docker"

      config {
        image        = var.image
        load         = var.load
        network_mode = "host"
        args         = ["demo-service"]
      }

      env {
        DEMO_VERSION = var.version
        DEMO_NODE    = "${node.unique.name}"
      }

      resources {
        cpu    = 50
        memory = 64
      }
    }
  }
}
