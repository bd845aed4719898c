# A job file says what is to run. Try what it would do:  steppe job plan FILE
# Run it:                                                steppe job run FILE

# Values can come from outside: -var count=3, -var-file FILE or NOMAD_VAR_count.
variable "count" {
  description = "How many instances to run."
  type        = number
  default     = 1
}

# The label is the job's ID, unique in its namespace.
job "example" {
  # service runs until stopped, batch to completion; system and sysbatch do so
  # on every node.
  type = "service"

  # Where it may run: datacenters, and conditions that a node must meet.
  datacenters = ["*"]

  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }

  # How a new version replaces the old one.
  update {
    max_parallel     = 1
    min_healthy_time = "10s"
    healthy_deadline = "5m"
    auto_revert      = true
    # canary = 1        # try the new version beside the old one first
  }

  # The tasks of a group run together on one node.
  group "web" {
    count = var.count

    network {
      port "http" {
        # static = 8080   # a fixed port of the node
        # to     = 80     # the port inside of a container
      }
    }

    # Announced at /v1/services; with a check only while it passes.
    service {
      name     = "example-web"
      port     = "http"
      provider = "nomad"
      tags     = ["example"]

      # check {
      #   type     = "http"
      #   path     = "/"
      #   interval = "10s"
      #   timeout  = "2s"
      # }
    }

    # A task that ends is started again where it runs…
    restart {
      attempts = 2
      interval = "30m"
      delay    = "15s"
      mode     = "fail"
    }

    # … and if that doesn't help, the group moves to another node.
    reschedule {
      delay          = "30s"
      delay_function = "exponential"
      max_delay      = "1h"
      unlimited      = true
    }

    # Disk that the tasks of the group share, in MB.
    ephemeral_disk {
      size = 300
    }

    task "server" {
      # raw_exec runs a command of the node, docker a container:
      #   driver = "docker"
      #   config {
      #     image = "nginx:stable"
      #     ports = ["http"]
      #   }
      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "while true; do echo $GREETING, port $NOMAD_PORT_http; sleep 5; done"]
      }

      env {
        GREETING = "hello from ${node.unique.name}"
      }

      # What the task needs: MHz and MB.
      resources {
        cpu    = 100
        memory = 128
      }

      logs {
        max_files     = 3
        max_file_size = 10
      }

      kill_timeout = "10s"
    }
  }
}
