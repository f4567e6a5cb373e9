//! Reliable UDP (KCP) that says goodbye, for tokio.
