"""The fleet: inventory, certificates, broker rules, bundles, enrolment; for the operator."""
