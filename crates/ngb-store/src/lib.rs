//! ngb-store
