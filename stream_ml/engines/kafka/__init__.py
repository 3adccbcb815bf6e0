"""The Kafka engine: one task a partition, one transaction a turn."""
