//! The variables whose values are secret.

/// Variables that hold a secret or may hold one. Their values are never printed, and no command that the program runs
/// receives them.
pub const SECRETS: [&str; 6] = [
    "LAB_ADMIN_TOKEN",
    "REDIS_URL",
    "DATABASE_URL",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
];
