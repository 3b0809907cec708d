# An S3 store in memory: moto's server beside the MLflow image's boto3, which it fits.
#   buildah bud -f tests/cluster/stores/s3.Dockerfile --build-arg MLFLOW_IMAGE=... -t tunegate-test/s3 .
# By tag or digest: whatever MLflow image was built just before.
ARG MLFLOW_IMAGE
FROM ${MLFLOW_IMAGE}
USER 0
RUN uv pip install --quiet "moto[s3,server]==5.2.5"
USER 10001:10001
CMD ["moto_server", "--host=0.0.0.0", "--port=9000"]
