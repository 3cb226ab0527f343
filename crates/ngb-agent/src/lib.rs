//! ngb-agent
