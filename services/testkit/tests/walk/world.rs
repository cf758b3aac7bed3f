//! A platform with a project, and everybody there is.

use std::time::Duration;

use granary_core::name::DatasetName;
use granary_proto::{
    identity::v1::{
        ApiKey, CreateApiKeyRequest, CreateMemberRequest, ExchangeApiKeyRequest, Member,
        ProjectRole, api_key_service_client::ApiKeyServiceClient,
        member_service_client::MemberServiceClient, token_service_client::TokenServiceClient,
    },
    metadata::v1::{
        CreateDatasetRequest, CreateProjectRequest, dataset_service_client::DatasetServiceClient,
        project_service_client::ProjectServiceClient,
    },
    prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor},
};
use granary_runtime::auth::{Issuer, Role};
use granary_testkit::TestNode;
use prost::{
    Message as _,
    bytes::{Buf as _, BufMut as _, Bytes},
};
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

pub(crate) const PROJECT: &str = "walk";
const MEMBERS: [(&str, ProjectRole, Role); 5] = [
    ("owner", ProjectRole::Owner, Role::Owner),
    ("editor", ProjectRole::Editor, Role::Editor),
    ("labeler", ProjectRole::Labeler, Role::Labeler),
    ("viewer", ProjectRole::Viewer, Role::Viewer),
    ("worker of the project", ProjectRole::Worker, Role::Worker),
];

const KEYS: [(&str, ProjectRole, Role); 2] = [
    ("key of an editor", ProjectRole::Editor, Role::Editor),
    ("key of a worker", ProjectRole::Worker, Role::Worker),
];

/// Somebody who calls.
pub(crate) struct Caller {
    pub who: &'static str,
    /// What it is in the project; none for a stranger.
    pub role: Option<Role>,
    /// What it is in calls about no project.
    pub elsewhere: Option<Role>,
    pub token: String,
}

pub(crate) struct World {
    pub node: TestNode,
    channel: Channel,
    pub pool: DescriptorPool,
}

impl World {
    pub(crate) async fn start() -> Self {
        let node = TestNode::start().await;
        let channel = Endpoint::from_shared(node.endpoint())
            .unwrap()
            .connect()
            .await
            .unwrap();
        let pool = DescriptorPool::decode(granary_proto::DESCRIPTORS).unwrap();
        let world = Self {
            node,
            channel,
            pool,
        };
        world.project(PROJECT).await;
        world
    }

    /// Makes a project.
    pub(crate) async fn project(&self, id: &str) {
        let request = CreateProjectRequest {
            project_id: id.into(),
            ..CreateProjectRequest::default()
        };
        let mut projects = ProjectServiceClient::new(self.node.link());
        projects.create_project(request).await.unwrap();
    }

    /// Makes a dataset.
    pub(crate) async fn dataset(&self, name: &DatasetName) {
        let request = CreateDatasetRequest {
            parent: name.parent().to_string(),
            dataset_id: name.dataset.clone(),
            ..CreateDatasetRequest::default()
        };
        let mut datasets = DatasetServiceClient::new(self.node.link());
        datasets.create_dataset(request).await.unwrap();
    }

    /// Adds a member, whose tokens the own issuer makes.
    pub(crate) async fn member(&self, project: &str, subject: &str, role: ProjectRole) {
        let member = Member {
            role: role.into(),
            issuer: self.issuer().name().to_owned(),
            subject: subject.into(),
            ..Member::default()
        };
        let request = CreateMemberRequest {
            parent: format!("projects/{project}"),
            member: Some(member),
            request_id: String::new(),
        };
        let mut members = MemberServiceClient::new(self.node.link());
        members.create_member(request).await.unwrap();
    }

    pub(crate) fn issuer(&self) -> Issuer {
        Issuer::open(&self.node.folder().join("data/issuer-key")).unwrap()
    }

    pub(crate) fn token(&self, subject: &str, role: Option<Role>) -> String {
        let lifetime = Duration::from_secs(600);
        self.issuer().issue(subject, role, lifetime).unwrap().0
    }

    /// Everybody there is.
    pub(crate) async fn callers(&self) -> Vec<Caller> {
        let mut callers = Vec::new();
        for (who, role) in [
            ("administrator", Role::Administrator),
            ("worker of the platform", Role::Worker),
        ] {
            let token = self.token(who, Some(role));
            callers.push(Caller {
                who,
                role: Some(role),
                elsewhere: Some(role),
                token,
            });
        }
        for (who, given, role) in MEMBERS {
            self.member(PROJECT, who, given).await;
            let token = self.token(who, None);
            callers.push(Caller {
                who,
                role: Some(role),
                elsewhere: None,
                token,
            });
        }
        for (who, given, role) in KEYS {
            let token = self.key(given).await;
            callers.push(Caller {
                who,
                role: Some(role),
                elsewhere: Some(role),
                token,
            });
        }
        let token = self.token("stranger", None);
        callers.push(Caller {
            who: "stranger",
            role: None,
            elsewhere: None,
            token,
        });
        callers
    }

    /// A token of a new API key of the project.
    pub(crate) async fn key(&self, role: ProjectRole) -> String {
        let key = ApiKey {
            role: role.into(),
            ..ApiKey::default()
        };
        let request = CreateApiKeyRequest {
            parent: format!("projects/{PROJECT}"),
            api_key: Some(key),
        };
        let mut keys = ApiKeyServiceClient::new(self.node.link());
        let secret = keys
            .create_api_key(request)
            .await
            .unwrap()
            .into_inner()
            .secret;
        let request = ExchangeApiKeyRequest { secret };
        let mut tokens = TokenServiceClient::new(self.channel.clone());
        tokens
            .exchange_api_key(request)
            .await
            .unwrap()
            .into_inner()
            .token
    }

    /// The services that reflection tells, with all their methods.
    pub(crate) async fn methods(&self) -> Vec<MethodDescriptor> {
        let asked = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut answers = ServerReflectionClient::new(self.node.link())
            .server_reflection_info(tonic::codegen::tokio_stream::once(asked))
            .await
            .unwrap()
            .into_inner();
        let answer = answers
            .message()
            .await
            .unwrap()
            .unwrap()
            .message_response
            .unwrap();
        let MessageResponse::ListServicesResponse(list) = answer else {
            panic!("no list of services");
        };
        let granary = list
            .service
            .iter()
            .filter(|service| service.name.starts_with("granary."));
        granary
            .flat_map(|service| {
                let described = self.pool.get_service_by_name(&service.name).unwrap();
                described.methods().collect::<Vec<_>>()
            })
            .collect()
    }

    /// Makes a call; of a stream only its beginning counts.
    pub(crate) async fn call(
        &self,
        method: &MethodDescriptor,
        message: &DynamicMessage,
        token: Option<&str>,
    ) -> Result<Bytes, Status> {
        let streams = method.is_server_streaming();
        let bytes = message.encode_to_vec();
        self.send(&path(method), streams, bytes, token).await
    }

    /// Sends bytes, whatever they are; the answer, which is empty of a stream.
    pub(crate) async fn send(
        &self,
        path: &str,
        streams: bool,
        bytes: Vec<u8>,
        token: Option<&str>,
    ) -> Result<Bytes, Status> {
        if streams {
            return self.follow(path, bytes, token).await.map(|_| Bytes::new());
        }
        let mut request = request(bytes, token);
        request.set_timeout(Duration::from_secs(30));
        let mut client = self.grpc().await;
        let answer = client.unary(request, path.parse().unwrap(), Raw);
        answer.await.map(tonic::Response::into_inner)
    }

    /// Opens a stream of the server.
    pub(crate) async fn follow(
        &self,
        path: &str,
        bytes: Vec<u8>,
        token: Option<&str>,
    ) -> Result<Streaming<Bytes>, Status> {
        let path = path.parse().unwrap();
        let mut client = self.grpc().await;
        let answer = client.server_streaming(request(bytes, token), path, Raw);
        answer.await.map(tonic::Response::into_inner)
    }

    async fn grpc(&self) -> Grpc<Channel> {
        let mut client = Grpc::new(self.channel.clone());
        client.ready().await.unwrap();
        client
    }
}

fn request(bytes: Vec<u8>, token: Option<&str>) -> Request<Vec<u8>> {
    let mut request = Request::new(bytes);
    if let Some(token) = token {
        let bearer = MetadataValue::try_from(format!("Bearer {token}")).unwrap();
        request.metadata_mut().insert("authorization", bearer);
    }
    request
}

/// `/{package}.{Service}/{Method}`.
pub(crate) fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// Messages as they are.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
