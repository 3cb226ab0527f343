//! An agent's only way out: model APIs and named hosts. It adds credentials, keeps budgets and counts.
