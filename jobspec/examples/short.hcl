job "example" {
  group "greeters" {
    count = 1

    task "hello" {
      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "while true; do echo hello from ${NOMAD_ALLOC_NAME}; sleep 5; done"]
      }
    }
  }
}
