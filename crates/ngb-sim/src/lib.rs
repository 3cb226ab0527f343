//! ngb-sim
