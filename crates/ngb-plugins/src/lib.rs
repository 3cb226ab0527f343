//! ngb-plugins
