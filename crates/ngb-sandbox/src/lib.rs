//! ngb-sandbox
