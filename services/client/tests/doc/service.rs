// Included by the examples of the documentation, so that they run: a service of this process over a bucket in memory.

/// Runs an example against a service that has nothing but a topic `orders` of two partitions.
fn with_service<Example>(example: Example) -> Result<(), Box<dyn std::error::Error>>
where
    Example: AsyncFnOnce(String) -> Result<(), Box<dyn std::error::Error>>,
{
    tokio::runtime::Runtime::new()?.block_on(async {
        let service = eagre_runtime::InMemory::start().await?;
        let client = eagre_client::Client::builder(service.endpoint()).build()?;
        client.topics().create("orders", Some(2)).await?;
        example(service.endpoint().to_owned()).await?;
        service.stop().await;
        Ok(())
    })
}
