//! A loopback port that leads to the broker's socket, for programs that know HTTP only over TCP.

use std::{io, net::SocketAddr, path::PathBuf};

use ngb_core::tasks::Crew;
use tokio::net::{TcpListener, UnixStream};

/// An open port. Dropping it closes it and what goes through it.
pub(crate) struct Forward {
    address: SocketAddr,
    _serving: Crew,
}

impl Forward {
    /// Opens a port of the loopback; bytes go through it as they are.
    ///
    /// # Errors
    ///
    /// When nothing can listen there.
    pub(crate) async fn open(broker: PathBuf) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let mut serving = Crew::default();
        serving.spawn("forward", async move {
            let mut connections = Crew::default();
            // It ends when descriptors run out: then nothing works any more, and whoever asks is told so.
            while let Ok((mut near, _)) = listener.accept().await {
                let broker = broker.clone();
                connections.spawn("forwarded connection", async move {
                    // A broker that is not there is a connection that is closed.
                    if let Ok(mut far) = UnixStream::connect(&broker).await {
                        near.set_nodelay(true).ok();
                        tokio::io::copy_bidirectional(&mut near, &mut far).await.ok();
                    }
                });
            }
        });
        Ok(Self { address, _serving: serving })
    }

    /// Where the API of `provider` is found.
    pub(crate) fn provider_url(&self, provider: &str) -> String {
        format!("http://{}/model/{provider}", self.address)
    }

    /// The variables by which programs find the way out: curl, git, pip, npm, cargo and most others know them.
    pub(crate) fn proxy_variables(&self) -> Vec<(&'static str, String)> {
        let proxy = || format!("http://{}", self.address);
        let near = || "localhost,127.0.0.1,::1".to_owned();
        vec![
            ("HTTP_PROXY", proxy()),
            ("HTTPS_PROXY", proxy()),
            ("http_proxy", proxy()),
            ("https_proxy", proxy()),
            ("NO_PROXY", near()),
            ("no_proxy", near()),
            // Node looks at the others only then.
            ("NODE_USE_ENV_PROXY", "1".to_owned()),
        ]
    }
}
