//! ngb-channels
