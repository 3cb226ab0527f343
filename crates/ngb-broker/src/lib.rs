//! ngb-broker
