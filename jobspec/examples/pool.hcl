# A node pool is a set of nodes that jobs choose by name: node_pool = "example".
# Nodes join it with client { node_pool = "example" }.
node_pool "example" {
  description = "Example node pool"

  # For people and tools; the scheduler doesn't read it.
  meta {
    owner = "platform"
  }

  # What is not set here is as the cluster's scheduler configuration says.
  scheduler_config {
    # "binpack" fills nodes one after the other, "spread" keeps them equally full.
    scheduler_algorithm = "spread"

    # Tasks may use more memory than is reserved for them, up to memory_max.
    memory_oversubscription_enabled = false
  }
}
