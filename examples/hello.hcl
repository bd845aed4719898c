# Three instances of a small web service that is inside the binary.
#
#   steppe job run -var binary=/usr/local/bin/steppe examples/hello.hcl
#
# It needs the raw_exec driver, which only -dev turns on by itself.
variable "version" {
  type        = string
  default     = "1"
  description = "Shown on the page. Change it to watch a rolling update."
}

variable "binary" {
  type        = string
  default     = "steppe"
  description = "The steppe binary, as the node finds it."
}

job "hello" {
  type = "service"

  group "web" {
    count = 3

    network {
      port "http" {}
    }

    service {
      name     = "hello"
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

    restart {
      attempts = 2
      interval = "10m"
      delay    = "2s"
      mode     = "fail"
    }

    reschedule {
      delay          = "5s"
      delay_function = "exponential"
      max_delay      = "1m"
      unlimited      = true
    }

    update {
      max_parallel     = 1
      min_healthy_time = "5s"
      healthy_deadline = "1m"
      progress_deadline = "5m"
      auto_revert      = true
    }

    task "web" {
      driver = "raw_exec"

      config {
        command = var.binary
        args    = ["demo-service"]
      }

      env {
        DEMO_VERSION = var.version
        DEMO_NODE    = "${node.unique.name}"
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
