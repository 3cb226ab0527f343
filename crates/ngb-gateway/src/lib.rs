//! ngb-gateway
