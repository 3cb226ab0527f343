//! ngb-web
