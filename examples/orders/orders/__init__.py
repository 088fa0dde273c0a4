"""An HTTP service that keeps orders in Kafka: accepted means acknowledged by all in-sync replicas."""
